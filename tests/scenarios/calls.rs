//! Each AWS call of a healthy validation and of the sweeps stands in `docs/calls.md`, with the reason for it.

use std::collections::BTreeMap;

use restore_proof_tests::root;
use restore_proof_tests::torture::calls::{Invocation, Made, Story, stories};
use restore_proof_tests::torture::shop::Shop;

const FILE: &str = "docs/calls.md";

/// The most calls of a healthy validation of a database: in all, in a row, of DynamoDB.
const DATABASE_AT_MOST: (usize, usize, usize) = (40, 29, 20);

/// By story, invocation, call, and which of the same calls of the invocation it is.
type Reasons = BTreeMap<(String, String, String, usize), String>;

/// What the page says: the stories, their sums, and why each call is made.
#[derive(Default)]
struct Page {
    stories: Vec<Story>,
    sums: Vec<String>,
    reasons: Reasons,
}

impl Page {
    fn read(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("## ") {
                page.stories.push(Story {
                    name: name.to_owned(),
                    invocations: Vec::new(),
                });
            } else if let Some((_, name)) = line
                .strip_prefix("### ")
                .and_then(|name| name.split_once(". "))
            {
                page.stories
                    .last_mut()
                    .unwrap()
                    .invocations
                    .push(Invocation {
                        name: name.to_owned(),
                        calls: Vec::new(),
                    });
            } else if line.starts_with("In all ") {
                page.sums.push(line.to_owned());
            } else if let [_, step, call, why, _] =
                line.split('|').map(str::trim).collect::<Vec<_>>()[..]
                && let Ok(step) = step.parse()
            {
                let story = page.stories.last_mut().unwrap();
                let call = call.to_owned();
                let invocation = story.invocations.last_mut().unwrap();
                page.reasons
                    .insert(reason(&story.name, invocation, &call), why.to_owned());
                invocation.calls.push(Made { step, call });
            }
        }
        page
    }

    /// A story as the page should tell it, with the reasons that are known.
    fn tell(&self, story: &Story) -> String {
        let mut text = format!("## {}\n\n{story}\n", story.name);
        for (number, invocation) in story.invocations.iter().enumerate() {
            let (number, name) = (number + 1, &invocation.name);
            text += &format!("\n### {number}. {name}\n\n");
            text += "| step | call | why |\n|---|---|---|\n";
            let mut told = Invocation {
                name: name.clone(),
                calls: Vec::new(),
            };
            for made in &invocation.calls {
                let why = self.reasons.get(&reason(&story.name, &told, &made.call));
                let why = why.map_or("?", String::as_str);
                text += &format!("| {} | {} | {why} |\n", made.step, made.call);
                told.calls.push(made.clone());
            }
        }
        text
    }
}

/// The key of the reason for the next call of an invocation.
fn reason(story: &str, invocation: &Invocation, call: &str) -> (String, String, String, usize) {
    let before = invocation.calls.iter().filter(|made| made.call == call);
    let nth = before.count();
    (
        story.to_owned(),
        invocation.name.clone(),
        call.to_owned(),
        nth,
    )
}

#[test]
fn each_call_stands_in_the_documentation_with_its_reason() {
    let measured = stories(&Shop::open());
    let text = std::fs::read_to_string(root().join(FILE)).unwrap();
    let page = Page::read(&text);
    for story in &measured {
        println!("{}", page.tell(story));
    }
    let unexplained = page
        .reasons
        .iter()
        .filter(|(_, why)| why.is_empty() || *why == "?");
    let unexplained: Vec<_> = unexplained.map(|(of, _)| of).collect();
    assert!(
        unexplained.is_empty(),
        "no reason stands at {unexplained:?}"
    );
    let sums: Vec<String> = measured.iter().map(ToString::to_string).collect();
    assert!(
        page.stories == measured && page.sums == sums,
        "{FILE} does not say what is called now; above stands what it should say"
    );
    let database = measured
        .iter()
        .find(|story| story.name.ends_with(": RDS"))
        .unwrap();
    let (all, row, dynamodb) = DATABASE_AT_MOST;
    assert!(
        database.all() <= all && database.in_a_row() <= row && database.of_dynamodb() <= dynamodb,
        "a healthy validation of a database makes too many calls. {database}"
    );
}
