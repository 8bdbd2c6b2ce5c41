//! `restore-proof policy check`: a policy's mistakes like a compiler's, or what the policy does.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style};
use jiff::SignedDuration;
use restore_proof_core::policy::{
    self, CheckKind, Frequency, Matcher, Mistake, Mistakes, Notify, Policy, Rule, Tls,
    readable_duration,
};

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const BLUE: Style = AnsiColor::Blue.on_default();

/// Checks policy files: mistakes go to standard error, what good policies do to standard output.
///
/// # Errors
/// When the output cannot be written. Files that cannot be read are told, and count in the exit code.
pub(crate) fn check(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let (mut mistakes, mut wrong, mut unreadable) = (0, 0, 0);
    for file in files {
        let name = printable(&file.display().to_string());
        let text = match read(file) {
            Ok(text) => text,
            Err(error) => {
                unreadable += 1;
                let problem =
                    format!("{RED}error:{RED:#} cannot read {BOLD}{name}{BOLD:#}: {error}\n");
                print(anstream::stderr(), &problem)?;
                continue;
            }
        };
        match policy::parse(&text) {
            Ok(policy) => print(anstream::stdout(), &describe(&name, &policy))?,
            Err(found) => {
                mistakes += found.0.len();
                wrong += 1;
                print(anstream::stderr(), &complain(&name, &text, &found))?;
            }
        }
    }
    if mistakes > 0 {
        let sum = match wrong {
            1 => count(mistakes, "mistake"),
            _ => format!("{} in {}", count(mistakes, "mistake"), count(wrong, "file")),
        };
        print(anstream::stderr(), &format!("{RED}{sum}{RED:#}\n"))?;
    }
    Ok(match (unreadable, mistakes) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(1),
        _ => ExitCode::from(2),
    })
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "it is not UTF-8 text (byte {} is not)",
            error.utf8_error().valid_up_to() + 1
        )
    })
}

/// Writes a text at once. That nobody reads on, as behind `| head`, is no error.
pub(crate) fn print(mut to: impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// The mistakes with the lines they stand in.
fn complain(file: &str, text: &str, mistakes: &Mistakes) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let digits = mistakes
        .0
        .iter()
        .map(|mistake| mistake.line)
        .max()
        .unwrap_or(1)
        .to_string()
        .len();
    let mut out = String::new();
    for mistake in &mistakes.0 {
        let Mistake {
            line,
            column,
            width,
            place,
            message,
        } = mistake;
        let source = lines.get(line.saturating_sub(1)).copied().unwrap_or("");
        // Tabs stay tabs, so that the caret stands below its place however wide they are.
        let indent: String = source
            .chars()
            .take(column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let carets = "^".repeat(*width);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{BOLD}{file}:{line}:{column}:{BOLD:#} {BLUE}{}:{BLUE:#} {}\n\
             {BLUE}{line:>digits$} |{BLUE:#} {}\n\
             {BLUE}{:>digits$} |{BLUE:#} {indent}{RED}{carets}{RED:#}\n",
            printable(place),
            printable(message),
            printable(source),
            ""
        );
    }
    out
}

/// What a policy does, rule by rule.
fn describe(file: &str, policy: &Policy) -> String {
    let mut out = format!(
        "{BOLD}{file}{BOLD:#}: {GREEN}no mistakes{GREEN:#}. Version {:?}, {}, SHA-256 {}\n",
        policy.version,
        count(policy.rules.len(), "rule"),
        policy.fingerprint
    );
    for (index, rule) in policy.rules.iter().enumerate() {
        let _ = write!(
            out,
            "\n{BOLD}{}. {}{BOLD:#}\n",
            index + 1,
            printable(&rule.name)
        );
        for (label, text) in facts(rule) {
            let _ = writeln!(out, "   {BLUE}{label:<12}{BLUE:#} {text}");
        }
    }
    out.push_str("\nThe first rule that matches decides; what no rule matches is not restored.\n");
    out
}

/// What is to be said about a rule, line by line; a line without a label goes on with the one above.
fn facts(rule: &Rule) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("matches", matching(&rule.matcher)),
        ("restores", frequency(rule).to_owned()),
    ];
    if let Some(other) = rule.matcher.resource_type.as_deref()
        && !policy::VALIDATED_TYPES.contains(&other)
    {
        facts.push((
            "",
            format!("{YELLOW}{other} is not supported yet: nothing is restored{YELLOW:#}"),
        ));
    }
    if let Some(class) = &rule.instance_class {
        facts.push(("class", class.clone()));
    }
    if !rule.restore.is_empty() {
        let overrides: Vec<String> = rule
            .restore
            .iter()
            .map(|(key, value)| printable(&format!("{key} = {value}")))
            .collect();
        facts.push(("overrides", overrides.join(", ")));
    }
    let objectives: Vec<String> = [
        rule.objectives
            .recovery_time
            .map(|time| format!("recovered within {}", readable(time))),
        rule.objectives
            .data_age
            .map(|age| format!("data at most {} old", readable(age))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !objectives.is_empty() {
        facts.push(("objectives", objectives.join(", ")));
    }
    if let Some(credentials) = &rule.credentials {
        facts.push(("secret", printable(&credentials.secret)));
    }
    match rule.tls {
        Tls::Verify => {}
        Tls::EncryptOnly => facts.push((
            "tls",
            format!("{YELLOW}encrypted, certificate not verified{YELLOW:#}"),
        )),
        Tls::Off => facts.push(("tls", format!("{YELLOW}off{YELLOW:#}"))),
    }
    if let Some(keep) = rule.keep_failed_for {
        facts.push(("kept", format!("{} when its data is wrong", readable(keep))));
    }
    facts.push((
        "messages",
        match rule.notify {
            Notify::Always => "about every verdict",
            Notify::Problems => "about problems only",
            Notify::Never => "never",
        }
        .to_owned(),
    ));
    if rule.checks.is_empty() {
        facts.push((
            "checks",
            format!("{YELLOW}none: the verdict is `unchecked`, never `passed`{YELLOW:#}"),
        ));
    }
    let widest = rule
        .checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    for (index, check) in rule.checks.iter().enumerate() {
        let CheckKind::Sql(sql) = &check.kind;
        let label = if index == 0 { "checks" } else { "" };
        let name = printable(&check.name);
        let age = if check.measures_data_age() {
            "; tells the data's age"
        } else {
            ""
        };
        facts.push((
            label,
            format!(
                "{name:<widest$}  {}  {}{age}",
                check.kind.name(),
                printable(&sql.expect.to_string())
            ),
        ));
    }
    facts
}

fn matching(matcher: &Matcher) -> String {
    if matcher.matches_everything() {
        return "every recovery point".to_owned();
    }
    let mut parts = Vec::new();
    parts.extend(matcher.resource_type.clone());
    parts.extend(
        matcher
            .source_arn
            .as_ref()
            .map(|glob| glob.as_str().to_owned()),
    );
    parts.extend(
        matcher
            .account
            .as_ref()
            .map(|account| format!("account {account}")),
    );
    parts.extend(
        matcher
            .vault
            .as_ref()
            .map(|glob| format!("vault {}", glob.as_str())),
    );
    parts.extend(
        matcher
            .tags
            .iter()
            .map(|(key, glob)| format!("tag {key} = {}", glob.as_str())),
    );
    printable(&parts.join(", "))
}

fn frequency(rule: &Rule) -> &'static str {
    match rule.frequency {
        Frequency::EveryCopy => "every copy",
        Frequency::Daily => "at most one copy a day of each resource",
        Frequency::Weekly => "at most one copy a week of each resource",
    }
}

fn readable(duration: Duration) -> String {
    readable_duration(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A text from a file as a terminal may have it: control characters, which could rewrite what was
/// printed, are shown as such.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
