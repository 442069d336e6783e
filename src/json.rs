//! Foreign JSON, of which only what is used is held in memory: the rest is passed over, however much it is.
//!
//! null is an absent value everywhere, as in Go's decoder (`encoding/json`).

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::limits;

/// The texts under these names in `data` of an object, as a ConfigMap has it.
///
/// # Errors
/// What is no object, has a value under one of the names that is no text, or has one of the names or `data` twice.
pub fn entries(json: &[u8], names: &[&str]) -> serde_json::Result<Vec<Option<String>>> {
    let mut found = vec![None; names.len()];
    let mut parser = serde_json::Deserializer::from_slice(json);
    parser.deserialize_map(Entries { names, found: &mut found, inside: false })?;
    parser.end()?;
    Ok(found)
}

/// The object, or inside of it the map `data`.
struct Entries<'a> {
    names: &'a [&'a str],
    found: &'a mut [Option<String>],
    inside: bool,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let names = if self.inside { self.names } else { &["data"] };
        let mut seen = 0_u32;
        while let Some(key) = map.next_key::<String>()? {
            let Some(at) = names.iter().position(|name| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen & (1 << at) != 0 {
                return Err(A::Error::custom("a key stands twice"));
            }
            seen |= 1 << at;
            if self.inside {
                self.found[at] = map.next_value()?;
            } else {
                map.next_value_seed(Entries { names: self.names, found: self.found, inside: true })?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// For fields in which null is what a missing value is.
///
/// # Errors
/// Those of the type.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(json: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or_default())
}

/// An item of a list of which not all may matter.
pub trait Item<'de>: Deserialize<'de> + Default {
    /// Whether it is kept.
    fn matters(&self) -> bool {
        true
    }
}

impl Item<'_> for String {}

/// For lists: those items that matter; null is an empty list, a null in it is an empty item.
///
/// # Errors
/// More than [`limits::ITEMS`] that matter, and those of the type.
pub fn few<'de, D: Deserializer<'de>, T: Item<'de>>(json: D) -> Result<Vec<T>, D::Error> {
    json.deserialize_any(Few(PhantomData))
}

struct Few<T>(PhantomData<T>);

impl<'de, T: Item<'de>> Visitor<'de> for Few<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Option<T>>()? {
            let item = item.unwrap_or_default();
            if !item.matters() {
                continue;
            }
            if items.len() == limits::ITEMS {
                return Err(de::Error::custom("a list has too many items"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<[Option<String>; 2], String> {
        let found = entries(json.as_bytes(), &["a", "b"]).map_err(|e| e.to_string())?;
        Ok(found.try_into().expect("as many as were asked for"))
    }

    #[test]
    fn of_a_map_the_named_entries_are_kept() {
        for (json, a, b) in [
            (r#"{"data":{"a":"1","b":""}}"#, Some("1"), Some("")),
            (
                r#"{"data":{"b":"2","c":{"a":"3"},"d":[1,null]},"x":{"a":"4","data":{"a":"5"}}}"#,
                None,
                Some("2"),
            ),
            (r#"{"data":{"a":null}}"#, None, None),
            (r#"{"data":null}"#, None, None),
            ("{}", None, None),
            (r#"{"a":"1","x":1,"x":2,"data":{"c":1,"c":2,"\u0061":"1"}}"#, Some("1"), None),
        ] {
            assert_eq!(read(json).unwrap().each_ref().map(Option::as_deref), [a, b], "{json}");
        }
    }

    #[test]
    fn what_is_no_such_map_or_says_it_twice_is_refused() {
        for json in [
            "",
            "null",
            "[]",
            "1",
            r#"{"data":[]}"#,
            r#"{"data":"a"}"#,
            r#"{"data":{"a":1}}"#,
            r#"{"data":{"a":{}}}"#,
            r#"{"data":{"a":"1","a":"1"}}"#,
            r#"{"data":{"a":null,"a":"1"}}"#,
            r#"{"data":{},"data":{}}"#,
            r#"{"data":null,"data":{}}"#,
            r#"{"data":{}}{}"#,
            r#"{"data":{}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Thing {
        #[serde(deserialize_with = "or_default")]
        name: String,
        #[serde(deserialize_with = "few")]
        parts: Vec<Thing>,
    }

    impl Item<'_> for Thing {
        fn matters(&self) -> bool {
            self.name != "x"
        }
    }

    #[test]
    fn null_is_absent_and_lists_are_bounded() {
        let thing = |json: &str| serde_json::from_str::<Thing>(json);
        let found =
            thing(r#"{"name":null,"parts":[null,{"name":"a","parts":null},{"name":"x"},{}]}"#).unwrap();
        let names: Vec<_> = found.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!((found.name.as_str(), names.as_slice()), ("", &["", "a", ""][..]));
        let list =
            |count: usize| format!(r#"{{"parts":[{}]}}"#, vec![r#"null,{"name":"x"}"#; count].join(","));
        assert_eq!(thing(&list(limits::ITEMS)).unwrap().parts.len(), limits::ITEMS);
        assert!(thing(&list(limits::ITEMS + 1)).is_err());
        assert!(thing(r#"{"parts":{}}"#).is_err() && thing(r#"{"name":1}"#).is_err());
    }
}
