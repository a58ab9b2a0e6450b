//! Which change feeds a plugin asks for, and of which connections the operator lets it read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ConnectionName, Name};

/// `integration/model`: a change feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedPattern {
    pub integration: Name,
    pub model: Name,
}

/// A feed that the operator lets an integration read, and of whom. As text `integration/model`,
/// `integration/model@connection` or `integration/model@*`.
///
/// A connection is a customer's account, and the plugin's code (or a connection's config) says which
/// one to read: so a run sees the records of another connection only if the operator said so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedGrant {
    pub feed: FeedPattern,
    pub of: FeedScope,
}

/// Of which connections a feed may be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedScope {
    /// The one of the same name as the run's own.
    Same,
    /// This one, by every connection's runs.
    Connection(ConnectionName),
    /// Every one, by every connection's runs.
    Any,
}

impl FeedGrant {
    /// Whether a run of the connection `run` may read `feed` of the connection `of`.
    #[must_use]
    pub fn allows(&self, feed: &FeedPattern, of: &ConnectionName, run: &ConnectionName) -> bool {
        self.feed == *feed
            && match &self.of {
                FeedScope::Same => of == run,
                FeedScope::Connection(granted) => of == granted,
                FeedScope::Any => true,
            }
    }
}

/// A text is not a feed, or not the grant of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error("{0:?} is not a feed: write INTEGRATION/MODEL, such as crm/Contact")]
    Feed(String),
    #[error(
        "{0:?} is not a feed to grant: write INTEGRATION/MODEL for the connection of the same name, \
         INTEGRATION/MODEL@CONNECTION for that one, or INTEGRATION/MODEL@* for every one"
    )]
    Grant(String),
}

/// As much of a text as an error shows.
fn shown(text: &str) -> String {
    text.chars().take(150).collect()
}

impl FromStr for FeedPattern {
    type Err = FeedError;
    fn from_str(text: &str) -> Result<Self, FeedError> {
        let error = || FeedError::Feed(shown(text));
        let (integration, model) = text.split_once('/').ok_or_else(error)?;
        Ok(Self {
            integration: integration.parse().map_err(|_| error())?,
            model: model.parse().map_err(|_| error())?,
        })
    }
}

impl FromStr for FeedGrant {
    type Err = FeedError;
    fn from_str(text: &str) -> Result<Self, FeedError> {
        let error = || FeedError::Grant(shown(text));
        // A connection's name may have an `@` in it, those before it may not.
        let (feed, of) = match text.split_once('@') {
            None => (text, FeedScope::Same),
            Some((feed, "*")) => (feed, FeedScope::Any),
            Some((feed, name)) => (
                feed,
                FeedScope::Connection(name.parse().map_err(|_| error())?),
            ),
        };
        Ok(Self {
            feed: feed.parse().map_err(|_| error())?,
            of,
        })
    }
}

impl fmt::Display for FeedPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.integration, self.model)
    }
}

impl fmt::Display for FeedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.feed.fmt(f)?;
        match &self.of {
            FeedScope::Same => Ok(()),
            FeedScope::Connection(name) => write!(f, "@{name}"),
            FeedScope::Any => f.write_str("@*"),
        }
    }
}

impl TryFrom<String> for FeedPattern {
    type Error = FeedError;
    fn try_from(text: String) -> Result<Self, FeedError> {
        text.parse()
    }
}

impl TryFrom<String> for FeedGrant {
    type Error = FeedError;
    fn try_from(text: String) -> Result<Self, FeedError> {
        text.parse()
    }
}

impl From<FeedPattern> for String {
    fn from(feed: FeedPattern) -> Self {
        feed.to_string()
    }
}

impl From<FeedGrant> for String {
    fn from(grant: FeedGrant) -> Self {
        grant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_of_feeds() {
        // The grant, whose feed a run of `acme` asks for, and whether it may.
        for (grant, feed, of, allowed) in [
            ("crm/Contact", "crm/Contact", "acme", true),
            ("crm/Contact", "crm/Contact", "globex", false),
            ("crm/Contact", "crm/Company", "acme", false),
            ("crm/Contact", "erp/Contact", "acme", false),
            ("crm/Contact@globex", "crm/Contact", "globex", true),
            ("crm/Contact@globex", "crm/Contact", "acme", false),
            ("crm/Contact@globex", "crm/Company", "globex", false),
            ("crm/Contact@a@b", "crm/Contact", "a@b", true),
            ("crm/Contact@*", "crm/Contact", "globex", true),
            ("crm/Contact@*", "crm/Company", "acme", false),
        ] {
            let granted: FeedGrant = grant.parse().unwrap();
            assert_eq!(granted.to_string(), grant);
            let (feed, of) = (feed.parse().unwrap(), of.parse().unwrap());
            let run = "acme".parse().unwrap();
            assert_eq!(
                granted.allows(&feed, &of, &run),
                allowed,
                "{grant} {feed} {of}"
            );
        }
    }

    #[test]
    fn what_is_no_feed() {
        for text in [
            "",
            "crm",
            "crm/",
            "/Contact",
            "crm/*",
            "crm/Contact@",
            "crm/Contact@ *",
            "a@b/c",
        ] {
            let error = text.parse::<FeedGrant>().unwrap_err().to_string();
            assert!(error.contains("INTEGRATION/MODEL@CONNECTION"), "{error}");
        }
        assert!("crm/Contact@acme".parse::<FeedPattern>().is_err());
    }
}
