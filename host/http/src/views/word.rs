//! Enums of the API: the words are the API's own, the variants are compared with the engine's by the compiler.

/// A closed list of words.
pub(crate) trait Word: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The word in JSON and in a query.
    fn word(self) -> &'static str;

    /// The variant of a word.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == text)
    }
}

/// What the document says of an enum: what it is, and what its words mean.
pub(crate) fn described(what: &str, words: &[(&str, &str)]) -> utoipa::openapi::schema::Object {
    let meanings = words.iter().filter(|(_, meaning)| !meaning.is_empty());
    let meanings = meanings.map(|(word, meaning)| format!("\n- `{word}`: {}", meaning.trim()));
    let description = what.trim().to_owned() + &meanings.collect::<String>();
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(words.iter().map(|(word, _)| *word)))
        .description(Some(description))
        .build()
}

/// Declare an enum of the API with its words. `of TYPE` makes it from an enum of the engine with the same variants,
/// `and back` makes that from it, too. An enum `: Default` has a word with `default` after it.
///
/// The schema is written here: utoipa's derive does not see a word that a macro puts into `serde(rename)`.
macro_rules! words {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident $(: $derived:ident)? of $engine:ty, and back { $($body:tt)* }
    ) => {
        $crate::views::word::words! {
            $(#[doc = $doc])*
            $vis enum $name $(: $derived)? of $engine { $($body)* }
        }
        $crate::views::word::words! { @back $name [$engine] { $($body)* } }
    };
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident $(: $derived:ident)? of $engine:ty { $($body:tt)* }
    ) => {
        $crate::views::word::words! {
            $(#[doc = $doc])*
            $vis enum $name $(: $derived)? { $($body)* }
        }
        $crate::views::word::words! { @from $name [$engine] { $($body)* } }
    };
    (@from $name:ident [$engine:ty] {
        $($(#[doc = $doc:literal])* $variant:ident = $word:literal $($default:ident)?,)*
    }) => {
        impl From<$engine> for $name {
            fn from(of: $engine) -> Self {
                type Engine = $engine;
                match of { $(Engine::$variant { .. } => Self::$variant,)* }
            }
        }
    };
    (@back $name:ident [$engine:ty] {
        $($(#[doc = $doc:literal])* $variant:ident = $word:literal $($default:ident)?,)*
    }) => {
        impl From<$name> for $engine {
            fn from(of: $name) -> Self {
                match of { $($name::$variant => Self::$variant,)* }
            }
        }
    };
    (
        $(#[doc = $what:literal])*
        $vis:vis enum $name:ident $(: $derived:ident)? {
            $($(#[doc = $doc:literal])* $variant:ident = $word:literal $($default:ident)?,)*
        }
    ) => {
        $(#[doc = $what])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, $($derived,)?
            serde::Serialize, serde::Deserialize,
        )]
        $vis enum $name {
            $($(#[doc = $doc])* $(#[$default])? #[serde(rename = $word)] $variant,)*
        }

        impl $crate::views::word::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let words = [$(($word, concat!($($doc),*)),)*];
                let schema = $crate::views::word::described(concat!($($what),*), &words);
                utoipa::openapi::schema::Schema::Object(schema).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::Word;

    #[test]
    fn words_are_what_serde_writes_and_the_document_says() {
        use crate::views::{DeliveryState, EventType, JobState, RunState};
        fn check<W: Word + serde::Serialize + utoipa::ToSchema>() {
            let schema = serde_json::to_value(W::schema()).unwrap();
            let said: Vec<&str> = W::ALL.iter().map(|one| one.word()).collect();
            assert_eq!(schema["enum"], serde_json::json!(said));
            for one in W::ALL {
                assert_eq!(serde_json::to_value(one).unwrap(), one.word());
                let back = W::parse(one.word()).map(Word::word);
                assert_eq!(back, Some(one.word()));
            }
            assert!(W::parse("no such word").is_none());
        }
        check::<DeliveryState>();
        check::<EventType>();
        check::<JobState>();
        check::<RunState>();
    }
}
