//! A flag that takes JSON: as it is, from a file, or from standard input.

use std::io::{self, Read as _};

use amends::{Json, JsonError};

/// Why it is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum JsonArgumentError {
    #[error("{file} cannot be read: {source}")]
    Read { file: String, source: io::Error },
    #[error("{0}: JSON is needed, or @FILE with JSON in it, or - for standard input")]
    Json(#[from] JsonError),
}

/// The text itself; what is in the file behind `@`; with `-` or `@-` what comes from standard input.
pub(super) fn json(text: &str) -> Result<Json, JsonArgumentError> {
    let failed = |file: &str| {
        let file = file.to_owned();
        |source| JsonArgumentError::Read { file, source }
    };
    let bytes = match text.strip_prefix('@') {
        None if text != "-" => text.as_bytes().to_vec(),
        None | Some("-") => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map_err(failed("standard input"))?;
            bytes
        }
        Some(file) => std::fs::read(file).map_err(failed(file))?,
    };
    Ok(Json::parse(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_where_the_json_is() {
        assert_eq!(json("[1]").unwrap().as_str(), "[1]");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        assert_eq!(json(&format!("@{}", file.path().display())).unwrap().as_str(), "{}");
        let missing = json("@nowhere").unwrap_err().to_string();
        assert!(missing.starts_with("nowhere cannot be read: No such file"), "{missing}");
        assert!(json("{").unwrap_err().to_string().ends_with("- for standard input"));
    }
}
