//! What the documents say about the repository is so: links, code, commands, SQL and metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use crate::{
    support::{amends, repository},
    tidy::{assert_none, files, read},
};

/// Code of so many lines is prose, and need not stand in a file.
const PROSE_LINES: usize = 3;

/// More of them nobody keeps in mind.
const INVARIANTS_MAX: usize = 12;

/// In code, the name of a schema and not of a metric.
const SCHEMA: &str = "amends_barrier";

/// A part of a page.
enum Part {
    /// A line of text.
    Line(String),
    /// A fenced block: its language, its lines.
    Block(String, Vec<String>),
}

/// A document for people.
struct Page {
    path: String,
    parts: Vec<Part>,
}

impl Page {
    fn read(path: &str, text: &str) -> Self {
        let (mut parts, mut block) = (Vec::new(), None);
        for line in text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (fence, block.take()) {
                (Some(language), None) => block = Some((language.to_owned(), Vec::new())),
                (Some(_), Some((language, lines))) => parts.push(Part::Block(language, lines)),
                (None, Some((language, mut lines))) => {
                    lines.push(line.to_owned());
                    block = Some((language, lines));
                }
                (None, None) => parts.push(Part::Line(line.to_owned())),
            }
        }
        assert!(block.is_none(), "{path}: a fence is open");
        Self { path: path.to_owned(), parts }
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Line(line) => Some(line.as_str()),
            Part::Block(..) => None,
        })
    }

    fn blocks(&self, languages: &[&str]) -> impl Iterator<Item = &Vec<String>> {
        self.parts.iter().filter_map(move |part| match part {
            Part::Block(language, lines) if languages.contains(&language.as_str()) => Some(lines),
            _ => None,
        })
    }

    /// The names by which links find its headings.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// What stands between backticks in its text, which may go over the end of a line.
    fn code_spans(&self) -> Vec<String> {
        let text = self.lines().collect::<Vec<_>>().join("\n");
        let spans = text.split('`').skip(1).step_by(2);
        spans.map(|span| span.replace('\n', " ")).collect()
    }

    /// The arguments of each call of the program that it shows.
    fn calls(&self) -> Vec<Vec<String>> {
        let blocks = self.blocks(&["sh", "console"]).flatten();
        let lines = blocks.map(|line| line.trim_start_matches("$ ").to_owned());
        let commands = lines.chain(self.code_spans());
        let commands = commands.flat_map(|line| {
            let line = line.split(" #").next().unwrap_or_default();
            line.split("&&").map(|command| command.trim().to_owned()).collect::<Vec<_>>()
        });
        commands.filter_map(|command| arguments(&command)).collect()
    }
}

/// The arguments of a call of the program, by its name or by cargo; not of another package's program.
fn arguments(command: &str) -> Option<Vec<String>> {
    let called = match command.strip_prefix("amends ") {
        Some(called) => called,
        None => command.strip_prefix("cargo run")?.split_once(" -- ")?.1,
    };
    if command.contains(" -p ") {
        return None;
    }
    Some(called.split_whitespace().map(str::to_owned).collect())
}

/// As GitHub and mdbook make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn pages() -> Vec<Page> {
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
    let files = files();
    let documents =
        files.iter().filter(|f| top.contains(&f.path.as_str()) || f.path.starts_with("docs/"));
    let documents = documents.filter(|file| file.is("md"));
    documents.map(|file| Page::read(&file.path, &file.text)).collect()
}

/// The targets of a line's links into the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    assert!(pages.len() > 10, "{} pages", pages.len());
    let mut lost = Vec::new();
    for page in &pages {
        for target in page.lines().flat_map(links) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = repository().join(&page.path).parent().unwrap().to_owned();
            let path =
                if path.is_empty() { repository().join(&page.path) } else { folder.join(path) };
            let known = match std::fs::read_to_string(&path) {
                Ok(text) if !heading.is_empty() => {
                    Page::read(&page.path, &text).anchors().contains(heading)
                }
                _ => heading.is_empty() && path.exists(),
            };
            if !known {
                lost.push(format!("{}: {target}", page.path));
            }
        }
    }
    assert_none(&lost, "links of documents that lead nowhere");
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = read("docs/SUMMARY.md");
    let listed: BTreeSet<_> = summary.lines().flat_map(links).collect();
    let pages = pages();
    let names = pages.iter().filter_map(|page| page.path.strip_prefix("docs/"));
    let missing: Vec<_> = names
        .filter(|name| *name != "SUMMARY.md" && !listed.contains(name))
        .map(str::to_owned)
        .collect();
    assert_none(&missing, "pages that docs/SUMMARY.md does not list");
}

/// What the compiler has seen, as it stands there but for its indentation.
#[test]
fn code_in_documents_is_cut_from_files() {
    let flat = |lines: &mut dyn Iterator<Item = &str>| {
        lines.map(|line| format!("{}\n", line.trim())).collect::<String>()
    };
    let sources: Vec<_> = files()
        .iter()
        .filter(|file| !file.is("md"))
        .map(|file| format!("\n{}", flat(&mut file.text.lines())))
        .collect();
    let mut made_up = Vec::new();
    for page in pages() {
        for block in page.blocks(&["rust"]).filter(|block| block.len() > PROSE_LINES) {
            let cut = format!("\n{}", flat(&mut block.iter().map(String::as_str)));
            if !sources.iter().any(|source| source.contains(&cut)) {
                made_up.push(format!("{}: {}", page.path, block[0]));
            }
        }
    }
    assert_none(&made_up, "blocks of Rust that stand in no file of the repository");
}

/// The program's own help, asked once for each command.
#[derive(Default)]
struct Help(BTreeMap<Vec<String>, String>);

impl Help {
    fn of(&mut self, command: &[String]) -> &str {
        self.0.entry(command.to_vec()).or_insert_with(|| {
            let asked = Command::new(amends()).args(command).arg("--help").output().unwrap();
            // A wrong command has no help.
            String::from_utf8(asked.stdout).unwrap()
        })
    }

    fn has(&mut self, command: &[String], flag: &str) -> bool {
        let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        self.of(command).split(ends).any(|word| word == flag)
    }

    /// How many of these words name a command.
    fn depth(&mut self, words: &[String]) -> usize {
        let mut depth = 0;
        while let Some(word) = words.get(depth) {
            let line = format!("  {word} ");
            if !self.of(&words[..depth]).lines().any(|l| format!("{l} ").starts_with(&line)) {
                break;
            }
            depth += 1;
        }
        depth
    }

    /// The names of all commands.
    fn commands(&mut self) -> Vec<String> {
        let lines = self.of(&[]).lines().filter_map(|line| line.strip_prefix("  "));
        let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        names.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }
}

#[test]
fn flags_that_stand_alone_in_documents_exist() {
    let mut help = Help::default();
    let commands = help.commands();
    assert!(commands.len() > 20, "{commands:?}");
    let mut wrong = Vec::new();
    // What is for contributors names flags of other programs, too.
    for page in pages().into_iter().filter(|page| page.path != "CONTRIBUTING.md") {
        for span in page.code_spans().into_iter().filter(|span| span.starts_with("--")) {
            let flag = span.split([' ', '=']).next().unwrap_or_default();
            if !commands.iter().any(|command| help.has(std::slice::from_ref(command), flag)) {
                wrong.push(format!("{}: {span}", page.path));
            }
        }
    }
    assert_none(&wrong, "flags in documents that no command has");
}

#[test]
fn commands_and_flags_in_documents_exist() {
    let (mut help, mut wrong, mut seen) = (Help::default(), Vec::new(), 0);
    for page in pages() {
        for call in page.calls() {
            seen += 1;
            let depth = help.depth(&call);
            if depth == 0 && !call[0].starts_with("--") {
                wrong.push(format!("{}: amends {}", page.path, call.join(" ")));
            }
            for flag in call.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap_or_default();
                if !help.has(&call[..depth], flag) {
                    wrong.push(format!("{}: amends {}", page.path, call.join(" ")));
                }
            }
        }
    }
    assert!(seen > 60, "{seen} calls");
    assert_none(&wrong, "commands and flags in documents that the program does not have");
}

#[test]
fn names_of_sql_in_documents_exist() {
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_' && c != '.');
        words.map(str::to_owned).collect()
    };
    // Subjects have more dots, and are no names of SQL.
    let of_ours = |word: &str| {
        let name = word.strip_prefix("amends.").or_else(|| word.strip_prefix("amends_barrier."));
        name.is_some_and(|name| !name.is_empty() && !name.contains('.'))
    };
    let schema = words(&read("migrations/schema.sql"));
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        let code = page.blocks(&["sql", "sh"]).flatten().cloned().chain(page.code_spans());
        let text = code.collect::<Vec<_>>().join("\n");
        for word in words(&text).into_iter().filter(|word| of_ours(word)) {
            seen += 1;
            if !schema.contains(&word) {
                wrong.push(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(seen > 30, "{seen} names");
    assert_none(&wrong, "names in documents that migrations/schema.sql does not have");
}

/// The names of all tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files().iter().filter(|file| file.is("rs")) {
        let marked = file.text.split("#[test]").chain(file.text.split("#[tokio::test")).skip(1);
        let named = marked.filter_map(|rest| rest.split("fn ").nth(1));
        names.extend(named.filter_map(|rest| rest.split('(').next()).map(str::to_owned));
    }
    names
}

#[test]
fn each_invariant_names_its_tests() {
    let text = read("ARCHITECTURE.md");
    let section = text.split("\n## Invariants\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut items: Vec<String> = Vec::new();
    for line in section.lines() {
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            items.push(String::new());
        }
        if let Some(item) = items.last_mut() {
            item.push_str(line);
        }
    }
    assert!((2..=INVARIANTS_MAX).contains(&items.len()), "{} invariants", items.len());
    assert_each_names_tests(&items);
}

#[test]
fn each_attack_names_its_tests() {
    let text = read("SECURITY.md");
    let section = text.split("\n## What does not get through\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let items: Vec<_> = section.split("\n- ").skip(1).map(|item| item.replace('\n', " ")).collect();
    assert!(items.len() > 5, "{} attacks", items.len());
    assert_each_names_tests(&items);
}

#[track_caller]
fn assert_each_names_tests(items: &[String]) {
    let (tests, mut wrong) = (tests(), Vec::new());
    for item in items {
        let names = item.split('`').skip(1).step_by(2);
        let names: Vec<_> =
            names.filter(|name| tests.contains(*name) || name.matches('_').count() > 1).collect();
        if names.is_empty() {
            wrong.push(item.clone());
        }
        wrong.extend(names.into_iter().filter(|n| !tests.contains(*n)).map(str::to_owned));
    }
    assert_none(&wrong, "items without a test, and tests that there are not");
}

#[test]
fn every_metric_is_in_the_documents() {
    let folders = ["compose/app/src/", "migrations/src/", "orchestrator/src/", "workers/src/"];
    let roles = amends_postgres::Role::ALL.map(amends_postgres::Role::name);
    let mut counted = BTreeSet::new();
    for file in files().iter().filter(|file| file.is("rs")) {
        if folders.iter().any(|folder| Path::new(&file.path).starts_with(folder)) {
            let texts = file.text.split('"').filter(|text| text.starts_with("amends_"));
            let plain = |text: &&str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let counts = |text: &&str| *text != SCHEMA && !roles.contains(text);
            counted.extend(texts.filter(plain).filter(counts).map(str::to_owned));
        }
    }
    let page = Page::read("docs/metrics.md", &read("docs/metrics.md"));
    let named: BTreeSet<_> =
        page.code_spans().into_iter().filter(|span| span.starts_with("amends_")).collect();
    let differ: Vec<_> = counted.symmetric_difference(&named).cloned().collect();
    assert_none(&differ, "metrics that only the code or only docs/metrics.md has");
}
