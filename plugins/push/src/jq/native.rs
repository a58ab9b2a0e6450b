//! What jq does otherwise than jaq, and what no definition can say.

use jaq_core::native::{Filter, Fun, bome, run, unary, v};
use jaq_core::{DataT, RunPtr};
use jaq_json::{Error, Num, Rc, Val, ValR};

use super::number;

/// No longer list is made by setting one of its items.
const INDEX_MAX: usize = 1_000_000;
/// A float up to here is a whole number exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The functions of `prelude.jq` and of rewritten expressions.
pub(super) fn funs<D: for<'a> DataT<V<'a> = Val>>() -> impl Iterator<Item = Fun<D>> {
    all().into_vec().into_iter().map(run)
}

fn all<D: for<'a> DataT<V<'a> = Val>>() -> Box<[Filter<RunPtr<D>>]> {
    Box::new([
        ("_tojson", v(0), |cv| {
            bome(Ok(Val::from(number::text(&cv.1))))
        }),
        ("_fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("_tonumber", v(0), |cv| bome(to_number(cv.1))),
        ("_index", v(0), |cv| bome(Ok(whole(cv.1, f64::floor)))),
        ("_end", v(0), |cv| bome(Ok(whole(cv.1, f64::ceil)))),
        ("_divide", v(2), |mut cv| {
            let right = cv.0.pop_var();
            bome(divide(cv.0.pop_var(), right))
        }),
        ("_remainder", v(2), |mut cv| {
            let right = cv.0.pop_var();
            bome(remainder(cv.0.pop_var(), right))
        }),
        ("_multiply", v(2), |mut cv| {
            let right = cv.0.pop_var();
            bome(multiply(cv.0.pop_var(), right))
        }),
        ("has", v(1), |cv| unary(cv, |value, key| has(&value, &key))),
        ("setpath", v(2), |mut cv| {
            let value = cv.0.pop_var();
            bome(items(&cv.0.pop_var()).and_then(|path| set(cv.1, &path, value)))
        }),
        ("delpaths", v(1), |cv| {
            unary(cv, |value, paths| delete_all(value, &paths))
        }),
        ("utf8bytelength", v(0), |cv| {
            bome(
                cv.1.try_as_utf8_bytes_owned()
                    .map(|text| Val::from(text.len())),
            )
        }),
        ("@base64", v(0), |cv| bome(base64(&cv.1))),
        ("@uri", v(0), |cv| bome(uri(&cv.1))),
    ])
}

fn wrong(message: impl std::fmt::Display) -> Error {
    Error::str(message)
}

/// What a value is called in messages, as jq calls it.
fn named(value: &Val) -> String {
    let kind = match value {
        Val::Null => "null",
        Val::Bool(_) => "boolean",
        Val::Num(_) => "number",
        Val::BStr(_) | Val::TStr(_) => "string",
        Val::Arr(_) => "array",
        Val::Obj(_) => "object",
    };
    let text: String = number::text(value).chars().take(30).collect();
    format!("{kind} ({text})")
}

fn float(value: &Num) -> f64 {
    match value {
        Num::Float(float) => *float,
        other => other.to_string().parse().unwrap_or(f64::NAN),
    }
}

/// A number: a whole one where it is one, since positions and texts want those.
fn calculated(float: f64) -> Val {
    if float.fract() == 0.0 && float.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and not large")]
        let whole = float as i64;
        return Val::Num(Num::from_integral(whole));
    }
    Val::from(float)
}

fn whole(value: Val, round: fn(f64) -> f64) -> Val {
    match &value {
        Val::Num(number @ (Num::Float(_) | Num::Dec(_))) => {
            let float = round(float(number));
            if float.is_finite() {
                calculated(float)
            } else {
                // There is nothing at such a place.
                Val::from(isize::MAX)
            }
        }
        _ => value,
    }
}

fn divide(left: Val, right: Val) -> ValR {
    match (&left, &right) {
        (Val::Num(l), Val::Num(r)) => {
            let (l, r) = (float(l), float(r));
            if r == 0.0 {
                let (left, right) = (named(&left), named(&right));
                return Err(wrong(format!(
                    "{left} and {right} cannot be divided because the divisor is zero"
                )));
            }
            Ok(calculated(l / r))
        }
        _ => left / right,
    }
}

/// Of whole numbers: both are made so.
fn remainder(left: Val, right: Val) -> ValR {
    let (Val::Num(l), Val::Num(r)) = (&left, &right) else {
        return left % right;
    };
    if matches!((l, r), (Num::Int(_) | Num::BigInt(_), Num::Int(r)) if *r != 0) {
        return left % right;
    }
    let (l, r) = (float(l), float(r));
    if l.is_nan() || r.is_nan() {
        return Ok(Val::from(f64::NAN));
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "too large ones are the largest, as in jq"
    )]
    let (l, r) = (l as i64, r as i64);
    match l.checked_rem(r) {
        Some(rest) => Ok(Val::Num(Num::from_integral(rest))),
        None if r == 0 => {
            let (left, right) = (named(&left), named(&right));
            Err(wrong(format!(
                "{left} and {right} cannot be divided (remainder) because the divisor is zero"
            )))
        }
        None => Ok(Val::from(0_usize)),
    }
}

fn multiply(left: Val, right: Val) -> ValR {
    let (text, times) = match (&left, &right) {
        (text @ Val::TStr(_), Val::Num(times)) | (Val::Num(times), text @ Val::TStr(_)) => {
            (text.clone(), float(times))
        }
        _ => return left * right,
    };
    if times < 0.0 || times.is_nan() {
        return Ok(Val::Null);
    }
    match calculated(times.floor()) {
        times if times == Val::from(0_usize) => Ok(Val::from(String::new())),
        times => text * times,
    }
}

/// One JSON text (RFC 8259), and nothing beside it.
fn from_json(value: &Val) -> ValR {
    let text = value.try_as_utf8_bytes_owned()?;
    let parsed = std::str::from_utf8(&text).map_err(|error| error.to_string());
    let parsed = parsed.and_then(super::parse_strictly);
    parsed.map_err(|error| {
        wrong(format!(
            "{} cannot be parsed as JSON: {error}",
            named(value)
        ))
    })
}

fn to_number(value: Val) -> ValR {
    let text = match &value {
        Val::Num(_) => return Ok(value),
        Val::TStr(text) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    let read = text.and_then(number::read);
    read.ok_or_else(|| wrong(format!("{} cannot be parsed as a number", named(&value))))
}

fn has(value: &Val, key: &Val) -> ValR {
    let found = match (value, key) {
        (Val::Obj(members), Val::TStr(_)) => members.get(key).is_some(),
        (Val::Arr(items), Val::Num(index)) => {
            let index = float(index);
            index >= 0.0 && index < items.len() as f64
        }
        _ => {
            let (value, key) = (named(value), named(key));
            return Err(wrong(format!(
                "cannot check whether {value} has a key {key}"
            )));
        }
    };
    Ok(Val::Bool(found))
}

fn items(value: &Val) -> Result<Vec<Val>, Error> {
    match value {
        Val::Arr(items) => Ok(items.to_vec()),
        other => Err(wrong(format!(
            "path must be an array, not {}",
            named(other)
        ))),
    }
}

/// The value with what is at the path replaced, and made where it is missing.
fn set(value: Val, path: &[Val], new: Val) -> ValR {
    let Some((first, rest)) = path.split_first() else {
        return Ok(new);
    };
    let value = match (value, first) {
        (Val::Null, Val::TStr(_)) => Val::obj(jaq_json::Map::default()),
        (Val::Null, Val::Num(_) | Val::Obj(_)) => Val::from_iter([]),
        (value, _) => value,
    };
    match (value, first) {
        (Val::Obj(mut members), Val::TStr(_)) => {
            let all = Rc::make_mut(&mut members);
            let old = all.get_mut(first).map(std::mem::take).unwrap_or_default();
            let new = set(old, rest, new)?;
            all.insert(first.clone(), new);
            Ok(Val::Obj(members))
        }
        (Val::Arr(mut list), Val::Num(index)) => {
            let at = place(index, list.len())
                .ok_or_else(|| wrong("Out of bounds negative array index"))?;
            if at > INDEX_MAX {
                return Err(wrong(format!("Array index too large: {at}")));
            }
            let all = Rc::make_mut(&mut list);
            if at >= all.len() {
                all.resize(at + 1, Val::Null);
            }
            if let Some(slot) = all.get_mut(at) {
                *slot = set(std::mem::take(slot), rest, new)?;
            }
            Ok(Val::Arr(list))
        }
        (Val::Arr(mut list), Val::Obj(range)) => {
            let (from, to) = bounds(range, list.len());
            let old: Val = list
                .get(from..to)
                .unwrap_or_default()
                .iter()
                .cloned()
                .collect();
            let Val::Arr(new) = set(old, rest, new)? else {
                return Err(wrong(
                    "A slice of an array can only be assigned another array",
                ));
            };
            Rc::make_mut(&mut list).splice(from..to, new.iter().cloned());
            Ok(Val::Arr(list))
        }
        (value, key) => Err(unfit(&value, key)),
    }
}

fn unfit(value: &Val, key: &Val) -> Error {
    wrong(format!("Cannot index {} with {}", named(value), named(key)))
}

/// Where a position of a list is; `None` before its first item.
fn place(index: &Num, len: usize) -> Option<usize> {
    let index = float(index).floor();
    let index = if index < 0.0 {
        index + len as f64
    } else {
        index
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked, or too large"
    )]
    (index >= 0.0).then_some(index as usize)
}

/// The range of `{"start": …, "end": …}`.
fn bounds(range: &jaq_json::Map, len: usize) -> (usize, usize) {
    let bound = |name: &str, default: usize, round: fn(f64) -> f64| match range
        .get(&Val::from(name.to_owned()))
    {
        Some(Val::Num(number)) => {
            let at = Num::Float(round(float(number)));
            place(&at, len).unwrap_or(0).min(len)
        }
        _ => default,
    };
    let from = bound("start", 0, f64::floor);
    (from, bound("end", len, f64::ceil).max(from))
}

/// The value without what is at the paths: from the last to the first, so that none moves another.
fn delete_all(value: Val, paths: &Val) -> ValR {
    let mut paths = items(paths)?;
    paths.sort();
    paths.dedup();
    paths
        .iter()
        .rev()
        .try_fold(value, |value, path| delete(value, &items(path)?))
}

fn delete(value: Val, path: &[Val]) -> ValR {
    let Some((first, rest)) = path.split_first() else {
        return Ok(Val::Null);
    };
    match (value, first) {
        (Val::Null, _) => Ok(Val::Null),
        (Val::Obj(mut members), Val::TStr(_)) => {
            let all = Rc::make_mut(&mut members);
            if rest.is_empty() {
                all.shift_remove(first);
            } else if let Some(slot) = all.get_mut(first) {
                *slot = delete(std::mem::take(slot), rest)?;
            }
            Ok(Val::Obj(members))
        }
        (Val::Arr(mut list), Val::Num(index)) => {
            if let Some(at) = place(index, list.len()).filter(|at| *at < list.len()) {
                let all = Rc::make_mut(&mut list);
                if rest.is_empty() {
                    all.remove(at);
                } else if let Some(slot) = all.get_mut(at) {
                    *slot = delete(std::mem::take(slot), rest)?;
                }
            }
            Ok(Val::Arr(list))
        }
        (Val::Arr(mut list), Val::Obj(range)) => {
            let (from, to) = bounds(range, list.len());
            let kept = match rest {
                [] => Vec::new(),
                rest => {
                    let old = list
                        .get(from..to)
                        .unwrap_or_default()
                        .iter()
                        .cloned()
                        .collect();
                    items(&delete(old, rest)?)?
                }
            };
            Rc::make_mut(&mut list).splice(from..to, kept);
            Ok(Val::Arr(list))
        }
        (value, key) => Err(unfit(&value, key)),
    }
}

/// A text as it is, another value as JSON.
fn plain(value: &Val) -> Vec<u8> {
    match value {
        Val::TStr(text) => text.to_vec(),
        other => number::text(other).into_bytes(),
    }
}

fn base64(value: &Val) -> ValR {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in plain(value).chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS
                .get((bits >> shift & 63) as usize)
                .copied()
                .unwrap_or(b'=');
            text.push(if at > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    Ok(Val::from(text))
}

fn uri(value: &Val) -> ValR {
    let text = String::from_utf8_lossy(&plain(value)).into_owned();
    Ok(Val::from(tidegate_sdk::encode(&text)))
}
