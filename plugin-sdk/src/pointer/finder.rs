//! Finding the values of several JSON pointers in one pass over a JSON text.
//!
//! Records are stored as the text that came, so all that is read of them is what is pointed at: everything
//! else is skipped without being decoded.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Pointer;

/// Pointers that one [`Finder`] can look for at once: they are bits of a number.
const POINTERS_MAX: usize = 32;

/// What lies at a pointer.
#[derive(Debug, Clone, Default)]
pub enum Found<'a> {
    /// There is no such place.
    #[default]
    Nothing,
    /// Its JSON text.
    Value(&'a RawValue),
    /// The elements of the array there: only at the finder's list.
    List(Vec<&'a RawValue>),
}

impl<'a> Found<'a> {
    /// The text, unless it is null.
    #[must_use]
    pub fn value(&self) -> Option<&'a RawValue> {
        match self {
            Found::Value(raw) if raw.get() != "null" => Some(raw),
            _ => None,
        }
    }
}

/// Looks for the values of several pointers in one pass over a JSON text. Nothing of it is decoded or copied.
///
/// ```
/// use tidegate_sdk::{Finder, Found, Pointer};
///
/// let pointers = ["/id", "/owner/name"].map(|text| text.parse::<Pointer>());
/// let finder = Finder::new(pointers.into_iter().collect::<Result<_, _>>()?).unwrap_or_default();
/// let mut found = vec![Found::Nothing; finder.len()];
/// for record in [r#"{ "id": 1, "owner": { "name": "Ada" } }"#, r#"{ "id": 2 }"#] {
///     finder.find(record, &mut found)?; // `found` is used again
/// }
/// assert!(matches!(found[1], Found::Nothing));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Finder {
    pointers: Vec<Pointer>,
    list: Option<usize>,
}

impl Finder {
    /// As many pointers as a finder can look for.
    pub const POINTERS_MAX: usize = POINTERS_MAX;

    /// Looks for these; `None` when they are more than [`Finder::POINTERS_MAX`].
    #[must_use]
    pub fn new(pointers: Vec<Pointer>) -> Option<Self> {
        (pointers.len() <= POINTERS_MAX).then_some(Finder {
            pointers,
            list: None,
        })
    }

    pub(super) fn of_one(pointer: Pointer) -> Self {
        Finder {
            pointers: vec![pointer],
            list: None,
        }
    }

    /// Take the array at the pointer of this index apart: it becomes a [`Found::List`].
    #[must_use]
    pub fn list(mut self, index: usize) -> Self {
        self.list = Some(index).filter(|index| *index < POINTERS_MAX);
        self
    }

    /// How many values it looks for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    /// Whether it looks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }

    /// Put what lies at each pointer into `found`, which is as long as [`len`](Self::len). Of a
    /// name that occurs twice in an object the last counts.
    ///
    /// # Errors
    ///
    /// The text is not JSON, is nested deeper than 127 levels, or has something else than an array or null at the
    /// place of the [`list`](Self::list).
    pub fn find<'a>(&self, json: &'a str, found: &mut [Found<'a>]) -> serde_json::Result<()> {
        found.fill(Found::Nothing);
        let wanted = (0..self.pointers.len()).fold(0, |wanted, index| wanted | 1 << index);
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let root = Place {
            finder: self,
            depth: 0,
            wanted,
        };
        root.read(&mut deserializer, found)?;
        deserializer.end()
    }

    /// Those of `wanted` whose pointers fit, as bits.
    fn those(&self, wanted: u32, fits: impl Fn(&Pointer) -> bool) -> u32 {
        let fitting = indexes(wanted).filter(|index| self.pointers.get(*index).is_some_and(&fits));
        fitting.fold(0, |those, index| those | 1 << index)
    }
}

/// The positions of the bits that are set.
fn indexes(bits: u32) -> impl Iterator<Item = usize> {
    let mut left = bits;
    std::iter::from_fn(move || {
        let index = (left != 0).then_some(left.trailing_zeros());
        left &= left.wrapping_sub(1);
        index.and_then(|index| usize::try_from(index).ok())
    })
}

/// A place in the text that some pointers lead to.
#[derive(Clone, Copy)]
struct Place<'p> {
    finder: &'p Finder,
    /// How many segments lead here.
    depth: usize,
    /// The pointers that lead here, as bits.
    wanted: u32,
}

impl<'p> Place<'p> {
    fn read<'de, D: Deserializer<'de>>(
        self,
        deserializer: D,
        found: &mut [Found<'de>],
    ) -> Result<(), D::Error> {
        let ends = self.finder.those(self.wanted, |pointer| {
            pointer.segments().len() == self.depth
        });
        let list = self.finder.list.map_or(0, |index| 1 << index);
        if ends == 0 {
            return deserializer.deserialize_any(ValueVisitor { place: self, found });
        }
        if ends == list && self.wanted == list {
            let items = deserializer.deserialize_any(List)?;
            self.put(list, &Found::List(items), found);
            return Ok(());
        }
        // Several pointers end here, or some lead on: each looks at the text by itself.
        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
        self.put(ends & !list, &Found::Value(raw), found);
        for wanted in [ends & list, self.wanted & !ends] {
            if wanted != 0 {
                let place = Place { wanted, ..self };
                place
                    .read(&mut serde_json::Deserializer::from_str(raw.get()), found)
                    .map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }

    fn put<'de>(self, ends: u32, value: &Found<'de>, found: &mut [Found<'de>]) {
        for index in indexes(ends) {
            if let Some(slot) = found.get_mut(index) {
                slot.clone_from(value);
            }
        }
    }

    /// The place of a member or an element of this one.
    fn inner(self, name: &str) -> Option<Place<'p>> {
        let leads = |pointer: &Pointer| {
            pointer
                .segments()
                .get(self.depth)
                .is_some_and(|s| s == name)
        };
        let wanted = self.finder.those(self.wanted, leads);
        (wanted != 0).then_some(Place {
            depth: self.depth + 1,
            wanted,
            ..self
        })
    }
}

/// The inside of a value that pointers lead into.
struct ValueVisitor<'p, 'f, 'de> {
    place: Place<'p>,
    found: &'f mut [Found<'de>],
}

impl<'de> DeserializeSeed<'de> for ValueVisitor<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.place.read(deserializer, self.found)
    }
}

impl<'de> Visitor<'de> for ValueVisitor<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Name(self.place))? {
            match place {
                Some(place) => map.next_value_seed(ValueVisitor {
                    place,
                    found: &mut *self.found,
                })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let more = match self.place.inner(&index.to_string()) {
                Some(place) => elements
                    .next_element_seed(ValueVisitor {
                        place,
                        found: &mut *self.found,
                    })?
                    .is_some(),
                None => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    // Pointers that lead into a scalar lead to nothing.
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Tells from a member's name which pointers lead into it.
struct Name<'p>(Place<'p>);

impl<'de, 'p> DeserializeSeed<'de> for Name<'p> {
    type Value = Option<Place<'p>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = Option<Place<'p>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.inner(name))
    }
}

/// The elements of an array; none of null.
struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = elements.next_element()? {
            items.push(item);
        }
        Ok(items)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finder, Found};
    use crate::Pointer;

    fn finder(pointers: &[&str]) -> Finder {
        let pointers = pointers.iter().map(|text| Pointer::parse(text).unwrap());
        Finder::new(pointers.collect()).unwrap()
    }

    fn texts(json: &str, finder: &Finder) -> Vec<String> {
        let mut found = vec![Found::Nothing; finder.len()];
        finder.find(json, &mut found).unwrap();
        found
            .iter()
            .map(|found| match found {
                Found::Nothing => "-".to_owned(),
                Found::Value(raw) => raw.get().to_owned(),
                Found::List(items) => items
                    .iter()
                    .map(|raw| raw.get())
                    .collect::<Vec<_>>()
                    .join("|"),
            })
            .collect()
    }

    #[test]
    fn values() {
        let json = r#" {"a":{"b":[10,{"c":"x"}],"":1},"a/b":2,"~":3,"d":null,"e":1,"e":2} "#;
        for (pointers, expected) in [
            (&["/a/b/1/c"][..], &[r#""x""#][..]),
            (
                &["/a/b", "/a/b/0", "/a"],
                &[r#"[10,{"c":"x"}]"#, "10", r#"{"b":[10,{"c":"x"}],"":1}"#],
            ),
            (&["/a~1b", "/~0", "/a/"], &["2", "3", "1"]),
            (
                &[
                    "/d", "/d/x", "/e/x", "/nothing", "/a/b/2", "/a/b/01", "/a/b/-",
                ],
                &["null", "-", "-", "-", "-", "-", "-"],
            ),
            (&["/e", "/e"], &["2", "2"]),
            (&[""], &[json.trim()]),
            (&["", "/e"], &[json.trim(), "2"]),
        ] {
            assert_eq!(texts(json, &finder(pointers)), expected, "{pointers:?}");
        }
    }

    #[test]
    fn lists() {
        for (json, pointers, expected) in [
            ("[1,{\"a\":2}]", &[""][..], &["1|{\"a\":2}"][..]),
            ("{\"d\":[1,2],\"n\":3}", &["/d", "/n"], &["1|2", "3"]),
            (
                "{\"d\":[1,2]}",
                &["/d", "/d/1", "/d"],
                &["1|2", "2", "[1,2]"],
            ),
            ("{\"d\":null}", &["/d"], &[""]),
            ("{\"d\":[]}", &["/d"], &[""]),
            ("{}", &["/d"], &["-"]),
        ] {
            assert_eq!(texts(json, &finder(pointers).list(0)), expected, "{json}");
        }
    }

    #[test]
    fn as_many_as_it_can_look_for() {
        let names: Vec<String> = (0..33).map(|n| format!("/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let most = texts(r#"{"31":"last"}"#, &finder(&names[..32]));
        assert_eq!(most.last().map(String::as_str), Some(r#""last""#));
        let all = names.iter().map(|text| Pointer::parse(text).unwrap());
        assert!(Finder::new(all.collect()).is_none());
    }

    #[test]
    fn not_what_it_should_be() {
        for json in [
            "",
            "{",
            "{\"d\":[1}",
            "{\"d\":[]} x",
            "{\"d\":{}}",
            "{\"d\":\"x\"}",
            "{\"x\":[1,]}",
        ] {
            let finder = finder(&["/d"]).list(0);
            let mut found = vec![Found::Nothing];
            assert!(finder.find(json, &mut found).is_err(), "{json}");
        }
    }
}
