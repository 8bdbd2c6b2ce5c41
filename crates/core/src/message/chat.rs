//! The form that Amazon Q Developer in chat applications shows in Slack and Microsoft Teams, a custom notification
//! ("Custom notifications using Amazon Q Developer in chat applications", its administrator guide). What a record says must
//! neither format the channel nor call anybody: Amazon Q takes titles and descriptions as the chat's own markdown, mentions
//! among it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The longest description, characters: that of one block of text in Slack ("Section block", Slack's reference of Block Kit).
const LONGEST_DESCRIPTION: usize = 3_000;
/// The longest single value, characters: a chat is read at a glance, and the mail has the rest.
const LONGEST_VALUE: usize = 600;

/// A message in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    kind: &'static str,
    title: String,
    thread: String,
    id: Option<String>,
    lines: Vec<String>,
    next_steps: Vec<String>,
    keywords: Vec<String>,
    resources: Vec<String>,
}

impl Chat {
    /// A message of this kind under this title. Messages about the same thing, a resource's ARN for example, share a thread.
    pub fn new(kind: &'static str, title: &str, about: &str) -> Chat {
        Chat {
            kind,
            title: inert(title),
            thread: thread(about),
            id: None,
            lines: Vec::new(),
            next_steps: Vec::new(),
            keywords: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// What tells it from any other message.
    #[must_use]
    pub fn id(mut self, id: String) -> Chat {
        self.id = Some(id);
        self
    }

    /// Adds a line of prose.
    #[must_use]
    pub fn line(mut self, text: &str) -> Chat {
        self.lines.push(inert(&shortened(text)));
        self
    }

    /// Adds a line of prose that ends with a value to copy, such as an ARN.
    #[must_use]
    pub fn line_with(mut self, text: &str, value: &str) -> Chat {
        let text = inert(&shortened(text));
        self.lines.push(format!("{text}: {}", quoted(value)));
        self
    }

    /// Adds what to do now.
    #[must_use]
    pub fn next_step(mut self, text: &str) -> Chat {
        self.next_steps.push(inert(&shortened(text)));
        self
    }

    /// Adds a word to find it by.
    #[must_use]
    pub fn keyword(mut self, word: Option<&str>) -> Chat {
        self.keywords
            .extend(word.map(|word| inert(&shortened(word))));
        self
    }

    /// Adds the ARN of what it is about. One with characters that no ARN of AWS has is left out.
    #[must_use]
    pub fn resource(mut self, arn: Option<&str>) -> Chat {
        let is_arn = |arn: &&str| {
            let harmless = |c: char| c.is_ascii_alphanumeric() || "-_:/.".contains(c);
            arn.starts_with("arn:") && arn.chars().all(harmless)
        };
        self.resources.extend(arn.filter(is_arn).map(shortened));
        self
    }

    /// The notification as Amazon Q reads it.
    pub fn json(&self) -> Value {
        let mut description = String::new();
        let mut length = 0;
        // Whole lines: half a quoted value would quote what follows.
        for line in &self.lines {
            length += line.chars().count() + 1;
            if length > LONGEST_DESCRIPTION {
                break;
            }
            description.push_str(line);
            description.push('\n');
        }
        let mut notification = json!({
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": self.title,
                "description": description,
                "keywords": self.keywords,
            },
            "metadata": {
                "threadId": self.thread,
                "summary": self.title,
                "eventType": self.kind,
                "relatedResources": self.resources,
            },
        });
        if let Some(id) = &self.id {
            notification["id"] = json!(id);
        }
        if !self.next_steps.is_empty() {
            notification["content"]["nextSteps"] = json!(self.next_steps);
        }
        notification
    }
}

/// The name of a thread: a hash, since an ARN may be longer than a name should be.
fn thread(about: &str) -> String {
    let hash = Sha256::digest(about.as_bytes());
    let bytes = hash.iter().take(12);
    let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    format!("restore-proof-{hex}")
}

fn shortened(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(LONGEST_VALUE).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

/// Text of which nothing is markup, a link, an emoji or a mention, in neither chat: what begins one is another character
/// that looks like it. Slack has no escape for its formatting ("Formatting text for app surfaces", Slack's documentation),
/// and Teams none that Slack would not show.
fn inert(text: &str) -> String {
    let characters: Vec<char> = text.chars().filter(|c| !is_invisible(*c)).collect();
    let at = |index: Option<usize>| index.and_then(|index| characters.get(index)).copied();
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let shown = characters.iter().enumerate().map(|(index, &c)| {
        let (before, after) = (at(index.checked_sub(1)), at(Some(index + 1)));
        match c {
            c if c.is_control() => ' ',
            '&' | '<' | '>' | '@' | '`' => no_mention(c),
            '*' => '∗',
            '~' => '∼',
            '[' => '［',
            ']' => '］',
            '|' => '¦',
            '\\' => '＼',
            '#' => '＃',
            '_' if !(is_letter(before) && is_letter(after)) => '＿',
            ':' if after.is_some_and(|after| after != ' ') => '꞉',
            c => c,
        }
    });
    shown.collect()
}

/// A value between backticks, where only these characters mean anything. It may be copied.
fn quoted(value: &str) -> String {
    let value = shortened(value);
    let shown = value.chars().filter(|c| !is_invisible(*c));
    let shown: String = shown
        .map(|c| if c.is_control() { ' ' } else { no_mention(c) })
        .collect();
    let shown = shown.trim();
    format!("`{}`", if shown.is_empty() { "-" } else { shown })
}

fn no_mention(c: char) -> char {
    match c {
        '&' => '＆',
        '<' => '‹',
        '>' => '›',
        '@' => '＠',
        '`' => 'ˋ',
        c => c,
    }
}

/// Whether it shows nothing, or turns the writing's direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOSTILE: &str = "<!channel> <@U024BE7LH> @here &lt;!here&gt; [click](https://evil.example/) <https://evil.example|ok> \
                           *bold* _slanted_ ~gone~ `code` :tada: #general | \\ \u{202e}\u{200b}\r\n> quote";

    fn description(chat: &Chat) -> String {
        chat.json()["content"]["description"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn nothing_that_a_record_says_is_markup_or_a_mention() {
        let chat = Chat::new("verdict", HOSTILE, HOSTILE)
            .line(HOSTILE)
            .line_with(HOSTILE, HOSTILE)
            .next_step(HOSTILE)
            .keyword(Some(HOSTILE))
            .resource(Some(HOSTILE));
        let shown = chat.json();
        let content = &shown["content"];
        assert_eq!(description(&chat).matches('\n').count(), 2, "{content:#}");
        for text in [
            content["title"].as_str().unwrap(),
            content["description"].as_str().unwrap(),
            content["nextSteps"][0].as_str().unwrap(),
            content["keywords"][0].as_str().unwrap(),
            shown["metadata"]["summary"].as_str().unwrap(),
        ] {
            for line in text.lines() {
                assert!(
                    !line.contains(['<', '>', '&', '@', '\u{202e}', '\u{200b}']),
                    "{line}"
                );
                let parts: Vec<_> = line.split('`').collect();
                assert!(matches!(parts.len(), 1 | 3), "{line}");
                let prose = [parts[0], parts.last().unwrap()].concat();
                assert!(
                    !prose.contains(['*', '~', '[', ']', '|', '\\', '#']),
                    "{prose}"
                );
                assert!(
                    !prose.contains("://") && !prose.contains(":tada:"),
                    "{prose}"
                );
                assert!(
                    !prose.contains("_slanted") && !prose.contains("slanted_"),
                    "{prose}"
                );
            }
        }
        assert_eq!(shown["metadata"]["relatedResources"], json!([]));
        let thread = shown["metadata"]["threadId"].as_str().unwrap();
        assert!(
            thread
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{thread}"
        );
    }

    /// What people copy stays as it is, and words with an underline too.
    #[test]
    fn what_is_no_markup_stays() {
        let arn = "arn:aws:rds:eu-central-1:111122223333:db:orders_v2";
        let chat = Chat::new("verdict", "RESTORE FAILED: orders", arn)
            .line("restore_failed: at 03:10")
            .line_with("source", arn)
            .resource(Some(arn));
        assert_eq!(
            description(&chat),
            format!("restore_failed: at 03꞉10\nsource: `{arn}`\n")
        );
        assert_eq!(chat.json()["metadata"]["relatedResources"], json!([arn]));
    }

    #[test]
    fn a_long_message_ends_with_a_whole_line() {
        let mut chat = Chat::new("verdict", "t", "a");
        for _ in 0..20 {
            chat = chat.line_with("value", &"x".repeat(10_000));
        }
        let shown = description(&chat);
        assert!(shown.chars().count() <= LONGEST_DESCRIPTION);
        assert!(shown.chars().count() > LONGEST_DESCRIPTION - 2 * LONGEST_VALUE);
        assert!(shown.lines().all(|line| line.ends_with("…`")), "{shown}");
    }

    #[test]
    fn a_resource_has_one_thread() {
        let thread =
            |about: &str| Chat::new("verdict", "t", about).json()["metadata"]["threadId"].clone();
        assert_eq!(
            thread("arn:aws:rds:eu-central-1:1:db:a"),
            thread("arn:aws:rds:eu-central-1:1:db:a")
        );
        assert_ne!(
            thread("arn:aws:rds:eu-central-1:1:db:a"),
            thread("arn:aws:rds:eu-central-1:1:db:b")
        );
    }
}
