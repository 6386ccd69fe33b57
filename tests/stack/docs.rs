//! The tables of `docs/stack.md` are the program's own.

use temporal_stack::input::versions;
use temporal_stack::parts::ipfs::node;

#[test]
fn the_tables_in_the_docs_are_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stack.md");
    let shown = std::fs::read_to_string(path).unwrap();
    let mut text = shown.clone();
    for (name, table) in [
        ("versions", versions::reference()),
        ("settings", node::reference()),
    ] {
        let begin = format!("<!-- {name} -->\n");
        let (before, rest) = text.split_once(&begin).expect("a beginning");
        let (_, after) = rest.split_once("<!-- end -->").expect("an end");
        text = format!("{before}{begin}{table}<!-- end -->{after}");
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    assert_eq!(
        shown, text,
        "a table is not the code's any more: UPDATE_DOCS=1 cargo test -p temporal-stack --test stack docs::"
    );
}
