//! What somebody is assigned on the command line.

use std::{fmt, str::FromStr};

use amends::check_name;

/// A name, and what it is assigned: `shop=orders.placed,orders.returned`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) what: Vec<String>,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, what) = text.split_once('=').ok_or("expected NAME=WHAT,WHAT")?;
        check_name("party", name).map_err(|error| error.to_string())?;
        let what = what.split(',').map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), what })
    }
}

/// As the command line has it.
impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.what.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_has_a_name() {
        let all: Assignment = "shop=a.b,c".parse().unwrap();
        assert_eq!(
            (all.name.as_str(), all.what.as_slice()),
            ("shop", &["a.b".into(), "c".into()][..])
        );
        assert_eq!(all.to_string(), "shop=a.b,c");
        for (text, why) in [("shop", "expected NAME=WHAT,WHAT"), ("Shop=orders.placed", "party")] {
            let error = text.parse::<Assignment>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
