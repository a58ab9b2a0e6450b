//! What is looked for: a secret itself, and what no undoing of escapes brings back, base64 and hexadecimal.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::layer::Layer;
use super::{LAYERS, SECRET_BYTES_MIN, Secret};

/// Lines of a secret of several lines that are looked for by themselves have at least as many bytes.
const LINE_BYTES_MIN: usize = 16;
/// With how many of its first bytes a pattern is sought before anything else.
pub(super) const HEAD_BYTES: usize = 8;

/// How a text is read while a pattern is sought in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    /// `+` is a space, as in a query.
    Plain,
    /// In one alphabet, whatever the text's, and over line breaks.
    Base64,
    /// In lower case.
    Hex,
}

impl Reading {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Base64, Self::Hex];

    /// How a byte is read; `None` if it is passed over.
    pub(super) fn fold(self) -> fn(u8) -> Option<u8> {
        match self {
            Self::Plain => |byte| Some(if byte == b'+' { b' ' } else { byte }),
            Self::Base64 => |byte| match byte {
                b'\r' | b'\n' => None,
                b'-' => Some(b'+'),
                b'_' => Some(b'/'),
                other => Some(other),
            },
            Self::Hex => |byte| Some(byte.to_ascii_lowercase()),
        }
    }
}

/// One thing to look for.
pub(super) struct Pattern {
    pub(super) reading: Reading,
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Whether the characters of base64 before and after it hold bits of the secret, too.
    pub(super) shares: (bool, bool),
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[secret, {:?}]", self.reading)
    }
}

impl Pattern {
    fn new(reading: Reading, bytes: &[u8]) -> Self {
        let folded: Vec<u8> = bytes
            .iter()
            .filter_map(|byte| reading.fold()(*byte))
            .collect();
        Self {
            reading,
            bytes: Zeroizing::new(folded),
            shares: (false, false),
        }
    }

    pub(super) fn head(&self) -> &[u8] {
        self.bytes.get(..HEAD_BYTES).unwrap_or(&self.bytes)
    }
}

type Bytes = Zeroizing<Vec<u8>>;

/// Everything by which a secret is found.
pub(super) fn patterns(secret: &Secret) -> Vec<Pattern> {
    let text = secret.expose().as_bytes();
    let mut plain: Vec<Bytes> = vec![Zeroizing::new(text.to_vec())];
    // A text that is undone reads as the secret does when it is undone, should that have escapes itself.
    let mut layer = Layer::raw(text, 0);
    for _ in 0..LAYERS {
        let Some(next) = layer.undone() else { break };
        layer = next;
        plain.push(Zeroizing::new(layer.bytes().to_vec()));
    }
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.len() >= LINE_BYTES_MIN && line.len() < text.len() && !line.starts_with(b"-----") {
            plain.push(Zeroizing::new(line.to_vec()));
        }
    }
    plain.retain(|text| text.len() >= SECRET_BYTES_MIN);
    let mut before_base64 = plain.clone();
    for spelling in spellings(secret.expose()) {
        if !before_base64.contains(&spelling) {
            before_base64.push(spelling);
        }
    }
    let plain = plain.iter().map(|text| Pattern::new(Reading::Plain, text));
    let hex = Zeroizing::new(hex::encode(text));
    let hex = Pattern::new(Reading::Hex, hex.as_bytes());
    let base64 = before_base64.iter();
    let base64 = base64.flat_map(|text| (0..3).map(|ahead| encoded(text, ahead)));
    plain.chain([hex]).chain(base64).collect()
}

/// The secret as it is, and as in JSON if that is something else.
pub(super) fn verbatim(secret: &Secret) -> Vec<Secret> {
    let json = in_json(secret.expose());
    let escaped = (json != secret.expose()).then(|| Secret::new(json));
    [secret.clone()].into_iter().chain(escaped).collect()
}

/// As it stands in a text of JSON, without the quotes.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::String(text.to_owned()).to_string();
    let inner = quoted.get(1..quoted.len() - 1);
    inner.unwrap_or_default().to_owned()
}

/// How it is written before it is put into base64: as RFC 6749 §2.3.1 asks of a client's secret, in a URL, in JSON.
fn spellings(secret: &str) -> [Bytes; 4] {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let query = form.replace('+', "%20");
    let json = in_json(secret);
    let php = json.replace('/', r"\/");
    [form, query, json, php].map(|text| Zeroizing::new(text.into_bytes()))
}

/// The characters of base64 that are the secret's alone, when `ahead` bytes (of three) come before it.
fn encoded(text: &[u8], ahead: usize) -> Pattern {
    let mut bytes = Zeroizing::new(vec![0; ahead]);
    bytes.extend_from_slice(text);
    let all = Zeroizing::new(STANDARD_NO_PAD.encode(bytes.as_slice()));
    let (first, last) = ((ahead * 8).div_ceil(6), bytes.len() * 8 / 6);
    let own = all.as_bytes().get(first..last).unwrap_or_default();
    Pattern {
        shares: (
            !(ahead * 8).is_multiple_of(6),
            !(bytes.len() * 8).is_multiple_of(6),
        ),
        ..Pattern::new(Reading::Base64, own)
    }
}
