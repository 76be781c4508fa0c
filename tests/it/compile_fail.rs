//! Wrong sagas that the compiler refuses, with the words in which it does so. New words are taken
//! with `TRYBUILD=overwrite`.

#[test]
fn wrong_sagas_do_not_compile() {
    trybuild::TestCases::new().compile_fail("it/compile_fail/*.rs");
}
