//! Follows a validation until nothing is left to do.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Zoned;
use serde_json::json;

use super::{Args, State, summary, verdict_word};
use crate::aws::Function;
use crate::exit::Problem;
use crate::output;

/// The stages of a validation in their order.
const STAGES: [&str; 7] = [
    "landed",
    "restoring",
    "restored",
    "checked",
    "recorded",
    "deleting",
    "closed",
];
/// How often in a row the function may not be reached.
const TROUBLES: u32 = 5;

/// Asks how the validation is until it is closed; shows every change.
pub(super) async fn until_closed(
    function: &Function,
    first: State,
    args: &Args,
    json: bool,
) -> anyhow::Result<State> {
    let id = first.id().to_owned();
    let mut screen = Screen::new(json, &id)?;
    let mut troubles = 0;
    let mut shown: Option<State> = None;
    loop {
        match function
            .ask(&json!({ "show": { "validation_id": id } }))
            .await
        {
            Ok(answer) => {
                if let Some(why) = answer["ignored"].as_str() {
                    return Err(Problem::cannot_run(format!("it cannot be followed: {why}"))
                        .help("the function may be of an older version: deploy this one. The validation goes on by itself")
                        .into());
                }
                troubles = 0;
                let state = State(answer);
                if shown.as_ref() != Some(&state) {
                    screen.change(shown.as_ref(), &state)?;
                }
                if state.is_closed() {
                    screen.end(&state)?;
                    return Ok(state);
                }
                shown = Some(state);
            }
            Err(problem) => {
                troubles += 1;
                if troubles >= TROUBLES {
                    let help =
                        "the validation goes on by itself; ask for it again to see how it is";
                    return Err(problem.help(help).into());
                }
                screen.trouble(&problem)?;
            }
        }
        tokio::time::sleep(args.every).await;
    }
}

/// Where changes are shown.
enum Screen {
    /// A line for each.
    Lines,
    /// A JSON document for each.
    Json,
    /// A bar that fills, with a line above it for each.
    Bar(ProgressBar),
}

impl Screen {
    fn new(json: bool, id: &str) -> anyhow::Result<Screen> {
        if json {
            return Ok(Screen::Json);
        }
        output::say(&format!("Validation {}\n", output::printable(id)))?;
        if !std::io::stdout().is_terminal() {
            return Ok(Screen::Lines);
        }
        let bar = ProgressBar::with_draw_target(
            Some(STAGES.len() as u64),
            indicatif::ProgressDrawTarget::stdout(),
        );
        bar.set_style(ProgressStyle::with_template(
            "{spinner} {bar:28.green/dim} {msg}  {elapsed}",
        )?);
        bar.enable_steady_tick(Duration::from_millis(120));
        Ok(Screen::Bar(bar))
    }

    /// The state is another.
    fn change(&mut self, before: Option<&State>, now: &State) -> anyhow::Result<()> {
        if let Screen::Json = self {
            output::say_json_line(&now.0)?;
            return Ok(());
        }
        let news = news(before, now);
        if let Screen::Bar(bar) = self {
            let place = STAGES.iter().position(|stage| *stage == now.stage());
            bar.set_position(place.map_or(0, |place| place as u64 + 1));
            bar.set_message(waiting_for(now.stage()));
        }
        for line in news {
            self.line(&line)?;
        }
        Ok(())
    }

    /// The function could not be asked.
    fn trouble(&mut self, problem: &Problem) -> anyhow::Result<()> {
        match self {
            // Not a change of the validation.
            Screen::Json => output::warn(&format!("{problem}; tried again\n"))?,
            _ => self.line(&format!(
                "{}; tried again",
                output::printable(&problem.what)
            ))?,
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        let line = format!("{}  {text}", Zoned::now().strftime("%H:%M:%S"));
        match self {
            Screen::Json => {}
            Screen::Lines => output::say(&format!("{line}\n"))?,
            Screen::Bar(bar) => bar.suspend(|| output::say(&format!("{line}\n")))?,
        }
        Ok(())
    }

    /// Nothing is left to do.
    fn end(&mut self, state: &State) -> anyhow::Result<()> {
        if let Screen::Bar(bar) = self {
            bar.finish_and_clear();
        }
        if !matches!(self, Screen::Json) {
            output::say(&format!("\n{}", summary(state)))?;
        }
        Ok(())
    }
}

/// What is new, a line each.
fn news(before: Option<&State>, now: &State) -> Vec<String> {
    let is_new = |key: &str| before.is_none_or(|before| before.text(key) != now.text(key));
    let mut lines = Vec::new();
    let attempt = |state: &State| state.0["attempt"].as_u64();
    if let (Some(before), Some(is)) = (before.and_then(attempt), attempt(now))
        && before != is
    {
        lines.push(format!("attempt {is} begins"));
    }
    if is_new("stage") {
        lines.push(format!(
            "{:<9}  {}",
            output::printable(now.stage()),
            waiting_for(now.stage())
        ));
    }
    if is_new("verdict")
        && let Some(verdict) = now.text("verdict")
    {
        let reason = now.text("reason").unwrap_or_default();
        lines.push(format!(
            "verdict    {}: {}",
            verdict_word(verdict),
            output::printable(reason)
        ));
    }
    if is_new("cleanup")
        && let Some(cleanup) = now.text("cleanup")
        && cleanup != "pending"
    {
        let why = now.text("cleanup_reason");
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        lines.push(format!(
            "cleanup    {}",
            output::printable(&format!("{cleanup}{why}"))
        ));
    }
    lines
}

/// What happens in a stage.
fn waiting_for(stage: &str) -> &'static str {
    match stage {
        "landed" => "waits for a free place among the restores",
        "restoring" => "AWS Backup restores it",
        "restored" => "it is restored: its checks run",
        "checked" => "the verdict is known: it is recorded",
        "recorded" => "it is recorded: what was restored may go",
        "deleting" => "what was restored is being deleted",
        "closed" => "nothing is left to do",
        _ => "",
    }
}
