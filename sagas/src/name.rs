//! Names that become parts of subjects, ids and SQL rows: checked once, when a definition is built.

/// Longest definition, service or operation name, in bytes. A NATS subject has no hard limit, but
/// every name is repeated in every message.
pub const NAME_LEN_MAX: usize = 64;

/// Longest step name, in bytes: `<service>.<operation>` of two longest names fits.
pub const STEP_LEN_MAX: usize = 2 * NAME_LEN_MAX + 1;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} name {name:?} is not allowed: use {form}")]
pub struct NameError {
    what: &'static str,
    name: String,
    form: Form,
}

/// The form that a name should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Form {
    #[error("1 to {len_max} characters of {allowed}")]
    Characters { len_max: usize, allowed: &'static str },
    #[error(
        "`<service>.<operation>`, each of them 1 to {NAME_LEN_MAX} characters of {NAME_CHARACTERS}"
    )]
    Operation,
}

/// What the name of a definition, a service or an operation consists of.
const NAME_CHARACTERS: &str = "a-z, 0-9, _ and -";

/// Checks the name of a definition, a service or an operation: `[a-z0-9_-]+`, so that no `.`, `*`,
/// `>` or space can enter a subject.
///
/// # Errors
/// [`NameError`] with the name and what is allowed.
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let ok = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    check(what, name, NAME_LEN_MAX, NAME_CHARACTERS, ok)
}

/// Checks the name of a service's operation, [`Step::NAME`](crate::Step::NAME): `<service>.<operation>`.
///
/// # Errors
/// [`NameError`] with the name and the form.
pub fn check_operation(name: &str) -> Result<(), NameError> {
    let fits = name.split_once('.').is_some_and(|(service, operation)| {
        check_name("service", service).is_ok() && check_name("operation", operation).is_ok()
    });
    fits.then_some(()).ok_or_else(|| NameError {
        what: "step",
        name: quoted(name),
        form: Form::Operation,
    })
}

/// Checks the name of a step within its saga: `[a-z0-9_.-]+`.
///
/// # Errors
/// [`NameError`] with the name and what is allowed.
pub fn check_step(name: &str) -> Result<(), NameError> {
    let ok = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    check("step", name, STEP_LEN_MAX, "a-z, 0-9, _, - and .", ok)
}

/// Checks a trigger's subject: names joined by dots, no wildcards.
///
/// # Errors
/// [`NameError`] with the subject and what is allowed.
pub fn check_subject(subject: &str) -> Result<(), NameError> {
    let token = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let ok =
        subject.len() <= 255 && subject.split('.').all(token) && !subject.starts_with("amends.");
    ok.then_some(()).ok_or(NameError {
        what: "subject",
        name: subject.to_owned(),
        form: Form::Characters {
            len_max: 255,
            allowed: "letters, digits, _ and -, in parts joined by dots, outside amends.>",
        },
    })
}

fn check(
    what: &'static str,
    name: &str,
    len_max: usize,
    allowed: &'static str,
    ok: impl Fn(u8) -> bool,
) -> Result<(), NameError> {
    let fits = !name.is_empty() && name.len() <= len_max && name.bytes().all(ok);
    fits.then_some(()).ok_or_else(|| NameError {
        what,
        name: quoted(name),
        form: Form::Characters { len_max, allowed },
    })
}

/// A wrong name, as far as one is quoted.
fn quoted(name: &str) -> String {
    name.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_told_the_form() {
        let operation = check_operation("reserve").unwrap_err().to_string();
        let form =
            "use `<service>.<operation>`, each of them 1 to 64 characters of a-z, 0-9, _ and -";
        assert_eq!(operation, format!("step name \"reserve\" is not allowed: {form}"));
        let service = check_name("service", "Inventory").unwrap_err().to_string();
        let form = "use 1 to 64 characters of a-z, 0-9, _ and -";
        assert_eq!(service, format!("service name \"Inventory\" is not allowed: {form}"));
    }

    #[test]
    fn only_safe_names_pass() {
        assert!(check_name("service", "inventory-2_b").is_ok());
        for bad in ["", "a.b", "a*", ">", "A", "a b", "ä", "a\r\n", &"x".repeat(65)] {
            assert!(check_name("service", bad).is_err(), "{bad:?} passed");
        }
        assert!(check_step("inventory.reserve").is_ok());
        assert!(check_step("inventory:reserve").is_err());
        assert!(check_operation("inventory.reserve").is_ok());
        for bad in ["", ".", "reserve", "inventory.", ".reserve", "a.b.c", "A.b", "a b.c"] {
            assert!(check_operation(bad).is_err(), "{bad:?} passed");
        }
        assert!(check_subject("orders.placed").is_ok());
        for bad in ["", ".", "a..b", "a.*", "a.>", "a b", "amends.command.x.y"] {
            assert!(check_subject(bad).is_err(), "{bad:?} passed");
        }
    }
}
