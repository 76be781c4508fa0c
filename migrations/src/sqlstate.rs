//! What an SQLSTATE means for whoever ran the statement. The conditions are those of the Postgres manual,
//! appendix A, which writes their names as they stand here.

/// What is to be done about a failed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Postgres is away, or had to break off: nothing is assumed, and all is tried again.
    Outage,
    /// The transaction lost against others, and may be repeated as it is.
    Conflict,
    /// A key is taken: whoever asked looks what is there now.
    Taken,
    /// A value is refused, whenever it is tried.
    Poison,
    /// No value of a message leads to this: the statement, the schema or the rights are wrong.
    Defect,
}

use Class::{Conflict, Defect, Outage, Poison, Taken};

/// Codes of five characters, and classes of two, whose other codes they are. What is not here is a defect:
/// this table lacks it, or the statement asked for what it should not.
const CLASSES: [(&str, Class, &str); 44] = [
    ("08", Outage, "connection exception"),
    (
        "0A000",
        Outage,
        "cached plan must not change result type: of a session older than a migration",
    ),
    ("22001", Poison, "string_data_right_truncation"),
    ("22003", Poison, "numeric_value_out_of_range"),
    ("22007", Poison, "invalid_datetime_format"),
    ("22008", Poison, "datetime_field_overflow: a time outside of what Postgres keeps"),
    ("22021", Poison, "character_not_in_repertoire: U+0000 in a text"),
    ("22032", Poison, "invalid_json_text"),
    ("22P02", Poison, "invalid_text_representation: a body that Postgres does not take for JSON"),
    ("22P05", Poison, "untranslatable_character: U+0000 in a JSON string"),
    ("22", Defect, "data exception: of a cast or an argument of our own"),
    ("21", Defect, "cardinality_violation: one row twice in one `on conflict do update`"),
    ("23505", Taken, "unique_violation: the version check, or a key that is taken"),
    ("23P01", Taken, "exclusion_violation: as unique_violation"),
    ("23514", Poison, "check_violation"),
    ("23", Defect, "integrity constraint violation: a null or a reference, neither of a message"),
    ("25006", Outage, "read_only_sql_transaction: a standby, or a server that takes no writes now"),
    (
        "25P03",
        Conflict,
        "idle_in_transaction_session_timeout: whoever had the transaction was slow",
    ),
    ("25P04", Conflict, "transaction_timeout: as idle_in_transaction_session_timeout"),
    ("25", Defect, "invalid transaction state: a statement went on after one that failed"),
    ("26", Outage, "invalid_sql_statement_name: of a session that is not the one that prepared it"),
    ("28", Outage, "invalid authorization specification: no session"),
    ("3D", Outage, "invalid_catalog_name: no session"),
    ("40003", Outage, "statement_completion_unknown"),
    ("40", Conflict, "transaction rollback: serialization_failure, deadlock_detected"),
    ("42P05", Outage, "duplicate_prepared_statement: of another session"),
    ("42", Defect, "syntax error or access rule violation: no such table, no such right"),
    ("53", Outage, "insufficient resources: disk, memory, connections"),
    ("54000", Poison, "program_limit_exceeded: a value that is too long for an index"),
    ("54001", Poison, "statement_too_complex: a value that is nested too deep"),
    ("54", Defect, "program limit exceeded: columns, arguments"),
    ("55", Outage, "object not in prerequisite state: lock_not_available, object_in_use"),
    ("57", Outage, "operator intervention: query_canceled, shutdown, cannot_connect_now"),
    ("58", Outage, "system error: of files and the machine"),
    ("72", Outage, "snapshot_too_old"),
    ("F0", Outage, "configuration file error"),
    ("P0", Defect, "PL/pgSQL error: raised by a function or a trigger"),
    ("XX", Defect, "internal error: of Postgres itself, data_corrupted"),
    ("3F", Defect, "invalid_schema_name"),
    ("44", Defect, "with_check_option_violation"),
    ("2F", Defect, "SQL routine exception"),
    ("38", Defect, "external routine exception"),
    ("39", Defect, "external routine invocation exception"),
    ("HV", Defect, "foreign data wrapper error"),
];

/// The class of an SQLSTATE.
pub(crate) fn class(code: &str) -> Class {
    let of = |code: &str| CLASSES.iter().find(|(row, ..)| *row == code).map(|(_, class, _)| *class);
    of(code).or_else(|| of(code.get(..2)?)).unwrap_or(Defect)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Codes as Postgres gives them, and the row of the table that each is about.
    const CODES: [(&str, &str, Class); 66] = [
        ("08000", "08", Outage),
        ("08006", "08", Outage),
        ("08007", "08", Outage),
        ("08P01", "08", Outage),
        ("0A000", "0A000", Outage),
        ("21000", "21", Defect),
        ("22001", "22001", Poison),
        ("22003", "22003", Poison),
        ("22004", "22", Defect),
        ("22007", "22007", Poison),
        ("22008", "22008", Poison),
        ("22012", "22", Defect),
        ("22021", "22021", Poison),
        ("22023", "22", Defect),
        ("22032", "22032", Poison),
        ("22P02", "22P02", Poison),
        ("22P03", "22", Defect),
        ("22P05", "22P05", Poison),
        ("23000", "23", Defect),
        ("23001", "23", Defect),
        ("23502", "23", Defect),
        ("23503", "23", Defect),
        ("23505", "23505", Taken),
        ("23514", "23514", Poison),
        ("23P01", "23P01", Taken),
        ("25001", "25", Defect),
        ("25006", "25006", Outage),
        ("25P02", "25", Defect),
        ("25P03", "25P03", Conflict),
        ("25P04", "25P04", Conflict),
        ("26000", "26", Outage),
        ("28000", "28", Outage),
        ("28P01", "28", Outage),
        ("2F005", "2F", Defect),
        ("38000", "38", Defect),
        ("39P01", "39", Defect),
        ("3D000", "3D", Outage),
        ("3F000", "3F", Defect),
        ("40001", "40", Conflict),
        ("40003", "40003", Outage),
        ("40P01", "40", Conflict),
        ("42501", "42", Defect),
        ("42601", "42", Defect),
        ("42703", "42", Defect),
        ("42804", "42", Defect),
        ("42883", "42", Defect),
        ("42P01", "42", Defect),
        ("42P05", "42P05", Outage),
        ("44000", "44", Defect),
        ("53100", "53", Outage),
        ("53200", "53", Outage),
        ("53300", "53", Outage),
        ("54000", "54000", Poison),
        ("54001", "54001", Poison),
        ("54011", "54", Defect),
        ("54023", "54", Defect),
        ("55P03", "55", Outage),
        ("57014", "57", Outage),
        ("57P01", "57", Outage),
        ("57P03", "57", Outage),
        ("58030", "58", Outage),
        ("72000", "72", Outage),
        ("F0000", "F0", Outage),
        ("HV000", "HV", Defect),
        ("P0001", "P0", Defect),
        ("XX000", "XX", Defect),
    ];

    #[test]
    fn every_row_of_the_table_is_what_its_codes_mean() {
        let mut met = BTreeSet::new();
        for (code, row, expected) in CODES {
            assert_eq!(class(code), expected, "{code}");
            assert!(code.starts_with(row), "{code} and {row}");
            met.insert(row);
        }
        let rows: BTreeSet<_> = CLASSES.iter().map(|(row, ..)| *row).collect();
        assert_eq!(rows.len(), CLASSES.len(), "a row stands twice");
        assert_eq!(met, rows);
    }

    #[test]
    fn a_code_that_the_table_lacks_is_a_defect() {
        for code in ["", "0", "2", "ä", "00000", "0B000", "99999"] {
            assert_eq!(class(code), Defect, "{code}");
        }
    }
}
