//! What an organisation has, by its own list: `arn,owner,target`.

use thiserror::Error;

/// A resource of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// ARN of the resource.
    pub arn: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How many days may lie between two proofs.
    pub target_days: Option<u32>,
}

/// What is wrong with a list, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct InventoryError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Reads a list in CSV: a line of names (`arn`, and if wanted `owner` and `target`, in any order; others are ignored), then
/// a resource a line. A field in quotes may hold commas and doubled quotes. `target` is a number of days, such as `30d` or `30`.
///
/// # Errors
/// When a line cannot be read, the column `arn` is missing, or a field of it is empty.
pub fn inventory(text: &str) -> Result<Vec<Listed>, InventoryError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line))
        .filter(|(_, line)| !line.trim().is_empty());
    let missing = |line| InventoryError {
        line,
        what: "the first line must name the columns, and arn among them".to_owned(),
    };
    let (first, names) = lines.next().ok_or_else(|| missing(1))?;
    let names = fields(names).map_err(|what| InventoryError { line: first, what })?;
    let at = |name: &str| {
        let is_it = |known: &String| known.trim().eq_ignore_ascii_case(name);
        names.iter().position(is_it)
    };
    let (owner, target) = (at("owner"), at("target"));
    let arn = at("arn").ok_or_else(|| missing(first))?;
    lines
        .map(|(line, text)| {
            let wrong = |what| InventoryError { line, what };
            let fields = fields(text).map_err(wrong)?;
            let field = |at: Option<usize>| {
                let text = fields.get(at?)?.trim();
                (!text.is_empty()).then(|| text.to_owned())
            };
            Ok(Listed {
                arn: field(Some(arn)).ok_or_else(|| wrong("the ARN is missing".to_owned()))?,
                owner: field(owner),
                target_days: field(target)
                    .map(|days| {
                        let number = days.strip_suffix('d').unwrap_or(&days);
                        let days = number.parse().ok().filter(|days| *days > 0);
                        days.ok_or_else(|| {
                            let what =
                                format!("the target {number:?} is no number of days, such as 30d");
                            wrong(what)
                        })
                    })
                    .transpose()?,
            })
        })
        .collect()
}

/// The fields of a line of CSV.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().expect("there is always one");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_any_order_of_columns() {
        let list = "\u{feff}Owner, ARN ,target,cost centre\r\n\"Doe, \"\"Jane\"\"\",arn:1,30d,7\r\n\r\n,arn:2\n\"\",arn:3,7,\n";
        let listed = |arn: &str, owner: Option<&str>, target_days| Listed {
            arn: arn.to_owned(),
            owner: owner.map(str::to_owned),
            target_days,
        };
        assert_eq!(
            inventory(list),
            Ok(vec![
                listed("arn:1", Some("Doe, \"Jane\""), Some(30)),
                listed("arn:2", None, None),
                listed("arn:3", None, Some(7)),
            ])
        );
    }

    #[test]
    fn what_is_no_list_is_named_by_its_line() {
        for (list, line, what) in [
            ("", 1, "arn"),
            ("name,owner\nx,y", 1, "arn"),
            ("arn,owner\n,anna", 2, "missing"),
            ("arn,target\narn:1,30d\n\narn:2,soon", 4, "soon"),
            ("arn,target\narn:1,0", 2, "days"),
            ("arn,owner\narn:1,\"anna", 2, "quote"),
        ] {
            let error = inventory(list).expect_err("no list");
            assert_eq!(error.line, line, "{list:?}");
            assert!(error.what.contains(what), "{list:?}: {error}");
        }
    }
}
