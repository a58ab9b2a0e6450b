//! Where the rows of a file may take secrets from. Who wrote the file need not be the operator: a row that names
//! a variable or a file of the host's has it sent to a URL of the row's own.

use std::path::{Path, PathBuf};

use tidegate_egress::Secret;
use tidegate_engine::Name;
use tidegate_service::problem::{Problem, Result};

use super::source::{in_clear, read_source};

/// Variables of the host's own; no row takes a secret from one, whatever prefix is allowed.
const OWN: &str = "TIDEGATE_";

/// What the operator lets rows name.
#[derive(Debug)]
pub(crate) struct Sources {
    prefixes: Vec<String>,
    /// Without links and `..`.
    folders: Vec<PathBuf>,
    /// Whose files are the host's own.
    data: PathBuf,
    key_file: Option<PathBuf>,
}

impl Sources {
    /// Variables with these prefixes, and files below these folders, but for those of the data directory.
    pub(crate) fn new(prefixes: Vec<String>, folders: &[PathBuf], data: &Path) -> Result<Self> {
        if prefixes.iter().any(String::is_empty) {
            let message = "--secret-env-prefix: an empty one would allow every variable";
            return Err(Problem::invalid(message));
        }
        let real = |folder: &PathBuf| {
            let found = folder.canonicalize().and_then(|real| match real.is_dir() {
                true => Ok(real),
                false => Err(std::io::ErrorKind::NotADirectory.into()),
            });
            found.map_err(|error| {
                Problem::not_found(error).at(format!("--secrets-dir {}", folder.display()))
            })
        };
        let key_file = std::env::var_os("TIDEGATE_MASTER_KEY_FILE").map(PathBuf::from);
        Ok(Self {
            prefixes,
            folders: folders.iter().map(real).collect::<Result<_>>()?,
            data: data.canonicalize().unwrap_or_else(|_| data.to_owned()),
            key_file: key_file.map(|file| file.canonicalize().unwrap_or(file)),
        })
    }

    /// The secret `key` that a row takes from `source`: `env:VAR` or `file:PATH`.
    pub(crate) fn read(&self, key: &str, source: &str) -> Result<(String, Secret)> {
        let key: Name = key
            .parse()
            .map_err(|error| Problem::invalid(format!("the secret {key:?}: {error}")))?;
        let what = format!("secret {key}");
        let secret = if let Some(variable) = source.strip_prefix("env:") {
            self.check_variable(&what, variable)?;
            read_source(&what, source)?
        } else if let Some(path) = source.strip_prefix("file:") {
            let real = self.real_file(&what, path)?;
            // What was checked is what is read, whatever becomes of a link meanwhile.
            read_source(&what, &format!("file:{}", real.display()))?
        } else {
            return Err(in_clear(&what, "write env:VAR or file:PATH"));
        };
        Ok((key.to_string(), secret))
    }

    fn check_variable(&self, what: &str, variable: &str) -> Result<()> {
        // Names are compared as they are on every system that we run on; this one is no secret of a customer
        // in any case.
        if variable.to_ascii_uppercase().starts_with(OWN) {
            let message =
                format!("{what}: {variable} is the host's own, and no connection's secret");
            return Err(Problem::invalid(message));
        }
        if self
            .prefixes
            .iter()
            .any(|prefix| variable.starts_with(prefix))
        {
            return Ok(());
        }
        let message = format!("{what}: rows may not take secrets from the variable {variable}");
        Err(Problem::invalid(message)
            .hint("allow those whose names begin alike: --secret-env-prefix PREFIX"))
    }

    /// The file that a path leads to, if rows may name it.
    fn real_file(&self, what: &str, path: &str) -> Result<PathBuf> {
        // Said before it is looked for: a row need not learn which files there are.
        let refused = || {
            let message = format!("{what}: rows may not take secrets from the file {path}");
            Problem::invalid(message).hint("allow those of a folder: --secrets-dir DIR")
        };
        if self.folders.is_empty() {
            return Err(refused());
        }
        let real = Path::new(path)
            .canonicalize()
            .map_err(|error| Problem::not_found(format!("{what}: {path}: {error}")))?;
        if !self.folders.iter().any(|folder| real.starts_with(folder)) {
            return Err(refused());
        }
        let next_key = self.key_file.as_ref().map(|file| {
            let mut name = file.clone().into_os_string();
            name.push(".next");
            PathBuf::from(name)
        });
        let is_key = [&self.key_file, &next_key]
            .into_iter()
            .flatten()
            .any(|key| *key == real);
        if is_key || real.starts_with(&self.data) {
            let message = format!("{what}: {path} is the host's own, and no connection's secret");
            return Err(Problem::invalid(message));
        }
        Ok(real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn rows_name_what_the_operator_allows_and_nothing_of_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (data, secrets) = (root.join("data"), root.join("secrets"));
        for folder in [&data, &secrets, &root.join("secrets-2")] {
            fs::create_dir(folder).unwrap();
        }
        for file in [
            "data/master.key",
            "secrets/token",
            "secrets-2/token",
            "other",
        ] {
            fs::write(root.join(file), "s3cr3t-s3cr3t\n").unwrap();
        }
        symlink(root.join("other"), secrets.join("link")).unwrap();
        symlink(secrets.join("token"), secrets.join("good-link")).unwrap();
        let shown = |path: &str| format!("file:{}", root.join(path).display());
        let narrow = Sources::new(vec!["CARGO_PKG_".to_owned()], &[secrets], &data).unwrap();
        let wide = Sources::new(
            vec!["T".to_owned(), "t".to_owned()],
            std::slice::from_ref(&root),
            &data,
        )
        .unwrap();
        let none = Sources::new(Vec::new(), &[], &data).unwrap();
        // (sources, what a row names, what is said if it may not)
        let rows: Vec<(&Sources, String, &str)> = vec![
            (&narrow, "env:CARGO_PKG_NAME".to_owned(), ""),
            (&narrow, "env:PATH".to_owned(), "--secret-env-prefix"),
            (
                &narrow,
                "env:cargo_pkg_name".to_owned(),
                "--secret-env-prefix",
            ),
            (
                &wide,
                "env:TIDEGATE_MASTER_KEY".to_owned(),
                "the host's own",
            ),
            (
                &wide,
                "env:tidegate_master_key".to_owned(),
                "the host's own",
            ),
            (&none, "env:PATH".to_owned(), "--secret-env-prefix"),
            (&narrow, shown("secrets/token"), ""),
            (&narrow, shown("secrets/good-link"), ""),
            (&narrow, shown("secrets/../secrets/token"), ""),
            (&narrow, shown("secrets/link"), "--secrets-dir"),
            (&narrow, shown("secrets/../other"), "--secrets-dir"),
            (&narrow, shown("secrets-2/token"), "--secrets-dir"),
            (&narrow, "file:/etc/passwd".to_owned(), "--secrets-dir"),
            (&wide, shown("data/master.key"), "the host's own"),
            (&wide, shown("secrets/../data/master.key"), "the host's own"),
            (&none, "file:/no/such/file".to_owned(), "--secrets-dir"),
            (&wide, "-".to_owned(), "env:VAR"),
            (&wide, "s3cr3t-s3cr3t".to_owned(), "env:VAR"),
        ];
        for (sources, source, wrong) in rows {
            match sources.read("token", &source) {
                Ok((name, _)) => assert_eq!((name.as_str(), wrong), ("token", ""), "{source}"),
                Err(problem) => {
                    let said = problem.to_string();
                    assert!(
                        !wrong.is_empty() && said.contains(wrong),
                        "{source}: {said}"
                    );
                    assert!(
                        source == "s3cr3t-s3cr3t" || !said.contains("s3cr3t"),
                        "{said}"
                    );
                    assert!(!said.contains("s3cr3t-s3cr3t"), "{said}");
                }
            }
        }
        assert!(Sources::new(vec![String::new()], &[], &data).is_err());
        assert!(Sources::new(Vec::new(), &[root.join("other")], &data).is_err());
    }
}
