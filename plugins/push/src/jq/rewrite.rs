//! An expression as jq means it: operators whose meaning in jaq is another one become calls of our definitions,
//! and operands are evaluated in jq's order.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

/// The variable that the right side of an operator is bound to.
const RIGHT: &str = "$__right";

/// The definition, rewritten.
pub(super) fn def(def: Def<&str>) -> Def<&str> {
    Def {
        body: term(def.body),
        ..def
    }
}

/// The term, rewritten.
pub(super) fn term(of: Term<&str>) -> Term<&str> {
    match of {
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Break(_)
        | Term::Var(_)
        | Term::Arr(None) => of,
        Term::Str(format, parts) => {
            let is_plain = format.is_none();
            let parts = parts.into_iter().map(|part| match part {
                StrPart::Term(inner) if is_plain => {
                    StrPart::Term(pipe(term(inner), call("tostring", [])))
                }
                StrPart::Term(inner) => StrPart::Term(term(inner)),
                other => other,
            });
            Term::Str(format, parts.collect())
        }
        Term::Arr(Some(inner)) => Term::Arr(Some(boxed(*inner))),
        Term::Obj(entries) => {
            let entries = entries.into_iter();
            Term::Obj(
                entries
                    .map(|(key, value)| (term(key), value.map(term)))
                    .collect(),
            )
        }
        Term::Neg(inner) => Term::Neg(boxed(*inner)),
        Term::BinOp(left, op, right) => binary(*left, op, *right),
        Term::Label(name, inner) => Term::Label(name, boxed(*inner)),
        Term::Fold(kind, values, pattern, args) => {
            let mut args: Vec<_> = args.into_iter().map(term).collect();
            if let ("reduce", [_, update]) = (kind, args.as_mut_slice())
                && !is_single(update)
            {
                // Of several results the last counts, and none is null.
                *update = call("_last_of", [std::mem::take(update)]);
            }
            Term::Fold(kind, boxed(*values), self::pattern(pattern), args)
        }
        Term::TryCatch(inner, catch) => {
            Term::TryCatch(boxed(*inner), catch.map(|catch| boxed(*catch)))
        }
        Term::IfThenElse(branches, otherwise) => Term::IfThenElse(
            branches
                .into_iter()
                .map(|(a, b)| (term(a), term(b)))
                .collect(),
            otherwise.map(|inner| boxed(*inner)),
        ),
        Term::Def(defs, inner) => Term::Def(defs.into_iter().map(def).collect(), boxed(*inner)),
        Term::Call(name, args) => Term::Call(name, args.into_iter().map(term).collect()),
        Term::Path(inner, path) => {
            let parts = path.0.into_iter().map(|(part, opt)| {
                let part = match part {
                    Part::Index(index) => Part::Index(position(index, "_index")),
                    Part::Range(from, to) => Part::Range(
                        from.map(|from| position(from, "_index")),
                        to.map(|to| position(to, "_end")),
                    ),
                };
                (part, opt)
            });
            Term::Path(boxed(*inner), Path(parts.collect()))
        }
    }
}

fn binary<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    let (left, right) = (term(left), term(right));
    match op {
        BinaryOp::Pipe(pattern) => {
            let pattern = pattern.map(self::pattern);
            Term::BinOp(left.into(), BinaryOp::Pipe(pattern), right.into())
        }
        BinaryOp::Assign => call("_assign", [left, right]),
        BinaryOp::Update => call("_modify", [left, right]),
        BinaryOp::UpdateMath(math) => {
            let update = calculate(Term::Id, math, Term::Var(RIGHT));
            bind(right, call("_modify", [left, update]))
        }
        BinaryOp::UpdateAlt => {
            let either = Term::BinOp(Term::Id.into(), BinaryOp::Alt, Term::Var(RIGHT).into());
            bind(right, call("_modify", [left, either]))
        }
        BinaryOp::Math(math) => in_order(left, right, |left, right| calculate(left, math, right)),
        BinaryOp::Cmp(cmp) => in_order(left, right, |left, right| {
            Term::BinOp(left.into(), BinaryOp::Cmp(cmp), right.into())
        }),
        other => Term::BinOp(left.into(), other, right.into()),
    }
}

/// jq takes the values of the right side first, and those of the left for each of them.
fn in_order<'s>(
    left: Term<&'s str>,
    right: Term<&'s str>,
    op: impl FnOnce(Term<&'s str>, Term<&'s str>) -> Term<&'s str>,
) -> Term<&'s str> {
    if is_single(&left) || is_single(&right) {
        return op(left, right);
    }
    bind(right, op(left, Term::Var(RIGHT)))
}

fn calculate<'s>(left: Term<&'s str>, math: Math, right: Term<&'s str>) -> Term<&'s str> {
    match math {
        Math::Div => call("_divide", [left, right]),
        Math::Rem => call("_remainder", [left, right]),
        Math::Mul => call("_multiply", [left, right]),
        Math::Add | Math::Sub => Term::BinOp(left.into(), BinaryOp::Math(math), right.into()),
    }
}

fn pattern(of: Pattern<&str>) -> Pattern<&str> {
    match of {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        Pattern::Obj(entries) => {
            let entries = entries.into_iter();
            Pattern::Obj(
                entries
                    .map(|(key, value)| (term(key), pattern(value)))
                    .collect(),
            )
        }
    }
}

/// Positions are whole numbers: those with a fraction are made so.
fn position<'s>(index: Term<&'s str>, to_whole: &'static str) -> Term<&'s str> {
    match index {
        Term::Str(None, _) => term(index),
        Term::Num(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => index,
        index => pipe(term(index), call(to_whole, [])),
    }
}

/// Whether a term surely has one value, so that no order has to be kept.
fn is_single(of: &Term<&str>) -> bool {
    match of {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(_) => true,
        Term::Str(_, parts) => parts.iter().all(|part| match part {
            StrPart::Term(inner) => is_single(inner),
            StrPart::Str(_) | StrPart::Char(_) => true,
        }),
        Term::Obj(entries) => entries
            .iter()
            .all(|(key, value)| is_single(key) && value.as_ref().is_none_or(is_single)),
        Term::Neg(inner) => is_single(inner),
        Term::BinOp(left, op, right) => {
            !matches!(op, BinaryOp::Comma | BinaryOp::Alt) && is_single(left) && is_single(right)
        }
        Term::IfThenElse(branches, otherwise) => {
            branches.iter().all(|(a, b)| is_single(a) && is_single(b))
                && otherwise.as_ref().is_none_or(|inner| is_single(inner))
        }
        Term::Call(name, args) => {
            let known = [
                "_divide",
                "_remainder",
                "_multiply",
                "_index",
                "_end",
                "tostring",
                "tojson",
                "length",
                "type",
                "not",
                "_assign",
                "_modify",
                "setpath",
            ];
            known.contains(name) && (name.starts_with("_mod") || args.iter().all(is_single))
        }
        Term::Path(inner, path) => {
            is_single(inner)
                && path.0.iter().all(|(part, opt)| {
                    matches!(part, Part::Index(index) if is_single(index))
                        && matches!(opt, jaq_core::path::Opt::Essential)
                })
        }
        _ => false,
    }
}

fn boxed(of: Term<&str>) -> Box<Term<&str>> {
    Box::new(term(of))
}

fn call<'s, const N: usize>(name: &'static str, args: [Term<&'s str>; N]) -> Term<&'s str> {
    Term::Call(name, args.into())
}

fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(left.into(), BinaryOp::Pipe(None), right.into())
}

/// `VALUE as $__right | INNER`
fn bind<'s>(value: Term<&'s str>, inner: Term<&'s str>) -> Term<&'s str> {
    let pattern = Some(Pattern::Var(RIGHT));
    Term::BinOp(value.into(), BinaryOp::Pipe(pattern), inner.into())
}
