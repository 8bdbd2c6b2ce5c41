//! Update expressions: SET, REMOVE, ADD, DELETE.

use super::expression::{Parser, Path, Step, Substitutions, Token};
use super::invalid;
use super::value::{Attr, Item, Number};
use crate::wire::ServiceError;

const KIND: &str = "UpdateExpression";

/// A parsed update expression.
#[derive(Debug, Default)]
pub(crate) struct Update {
    actions: Vec<(Path, Action)>,
}

#[derive(Debug)]
enum Action {
    Set(Sum),
    Remove,
    Add(Attr),
    Delete(Attr),
}

/// The right side of SET: one operand, or two with a sign.
#[derive(Debug)]
struct Sum {
    first: Operand,
    second: Option<(bool, Operand)>,
}

#[derive(Debug)]
enum Operand {
    Value(Attr),
    Path(Path),
    IfNotExists(Path, Box<Operand>),
    ListAppend(Box<Operand>, Box<Operand>),
}

impl Update {
    pub fn parse(text: &str, given: &Substitutions) -> Result<Update, ServiceError> {
        let mut parser = Parser::new(KIND, text, given)?;
        let mut update = Update::default();
        let mut seen: Vec<String> = Vec::new();
        while !parser.is_done() {
            let Some(Token::Word(word)) = parser.peek().cloned() else {
                return Err(parser.syntax_error());
            };
            let section = word.to_ascii_uppercase();
            if !matches!(section.as_str(), "SET" | "REMOVE" | "ADD" | "DELETE") {
                return Err(parser.syntax_error());
            }
            parser.next();
            if seen.contains(&section) {
                let message = format!(
                    "Invalid {KIND}: The \"{section}\" section can only be used once in an update expression;"
                );
                return Err(invalid(&message));
            }
            loop {
                let path = parser.path()?;
                let action = match section.as_str() {
                    "SET" => {
                        parser.expect("=")?;
                        Action::Set(sum(&mut parser)?)
                    }
                    "REMOVE" => Action::Remove,
                    "ADD" => Action::Add(parser.value()?),
                    _ => Action::Delete(parser.value()?),
                };
                update.actions.push((path, action));
                if !parser.take(",") {
                    break;
                }
            }
            seen.push(section);
        }
        update.refuse_overlaps()?;
        Ok(update)
    }

    /// The top-level attributes it touches.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|(path, _)| path.root())
    }

    fn refuse_overlaps(&self) -> Result<(), ServiceError> {
        for (position, (one, _)) in self.actions.iter().enumerate() {
            for (two, _) in &self.actions[position + 1..] {
                if one.0.starts_with(&two.0) || two.0.starts_with(&one.0) {
                    return Err(invalid(&format!(
                        "Invalid {KIND}: Two document paths overlap with each other; must remove or rewrite one of these \
                         paths; path one: [{one}], path two: [{two}]"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The item after the update; every right side sees the item before it.
    pub fn apply(&self, before: &Item) -> Result<Item, ServiceError> {
        let mut after = before.clone();
        for (path, action) in &self.actions {
            match action {
                Action::Set(sum) => put(&mut after, path, sum.get(before)?)?,
                Action::Remove => remove(&mut after, path),
                Action::Add(value) => {
                    let sum = added(path.get(before), value)?;
                    put(&mut after, path, sum)?;
                }
                Action::Delete(value) => match deleted(path.get(before), value)? {
                    Some(rest) => put(&mut after, path, rest)?,
                    None => remove(&mut after, path),
                },
            }
        }
        Ok(after)
    }
}

fn sum(parser: &mut Parser<'_>) -> Result<Sum, ServiceError> {
    let first = operand(parser)?;
    let second = if parser.take("+") {
        Some((false, operand(parser)?))
    } else if parser.take("-") {
        Some((true, operand(parser)?))
    } else {
        None
    };
    Ok(Sum { first, second })
}

fn operand(parser: &mut Parser<'_>) -> Result<Operand, ServiceError> {
    if parser.take("(") {
        let inner = operand(parser)?;
        parser.expect(")")?;
        return Ok(inner);
    }
    match parser.at_call().as_deref() {
        Some("if_not_exists") => {
            parser.next();
            parser.expect("(")?;
            let path = parser.path()?;
            parser.expect(",")?;
            let otherwise = operand(parser)?;
            parser.expect(")")?;
            Ok(Operand::IfNotExists(path, Box::new(otherwise)))
        }
        Some("list_append") => {
            parser.next();
            parser.expect("(")?;
            let first = operand(parser)?;
            parser.expect(",")?;
            let second = operand(parser)?;
            parser.expect(")")?;
            Ok(Operand::ListAppend(Box::new(first), Box::new(second)))
        }
        Some(other) => Err(invalid(&format!(
            "Invalid {KIND}: Invalid function name; function: {other}"
        ))),
        None if matches!(parser.peek(), Some(Token::Value(_))) => {
            Ok(Operand::Value(parser.value()?))
        }
        None => Ok(Operand::Path(parser.path()?)),
    }
}

fn wrong_type() -> ServiceError {
    invalid("An operand in the update expression has an incorrect data type")
}

impl Sum {
    fn get(&self, item: &Item) -> Result<Attr, ServiceError> {
        let first = self.first.get(item)?;
        let Some((minus, second)) = &self.second else {
            return Ok(first);
        };
        match (first, second.get(item)?) {
            (Attr::N(a), Attr::N(b)) => Ok(Attr::N(a.add(if *minus { b.negate() } else { b })?)),
            _ => Err(wrong_type()),
        }
    }
}

impl Operand {
    fn get(&self, item: &Item) -> Result<Attr, ServiceError> {
        match self {
            Operand::Value(value) => Ok(value.clone()),
            Operand::Path(path) => path.get(item).cloned().ok_or_else(|| {
                invalid("The provided expression refers to an attribute that does not exist in the item")
            }),
            Operand::IfNotExists(path, otherwise) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => otherwise.get(item),
            },
            Operand::ListAppend(first, second) => match (first.get(item)?, second.get(item)?) {
                (Attr::L(mut first), Attr::L(second)) => {
                    first.extend(second);
                    Ok(Attr::L(first))
                }
                _ => Err(wrong_type()),
            },
        }
    }
}

fn bad_path() -> ServiceError {
    invalid("The document path provided in the update expression is invalid for update")
}

fn put(item: &mut Item, path: &Path, value: Attr) -> Result<(), ServiceError> {
    let Some((last, parents)) = path.0[1..].split_last() else {
        item.insert(path.root().to_owned(), value);
        return Ok(());
    };
    let mut at = item.get_mut(path.root()).ok_or_else(bad_path)?;
    for step in parents {
        at = match (step, at) {
            (Step::Key(key), Attr::M(members)) => members.get_mut(key).ok_or_else(bad_path)?,
            (Step::Index(index), Attr::L(list)) => list.get_mut(*index).ok_or_else(bad_path)?,
            _ => return Err(bad_path()),
        };
    }
    match (last, at) {
        (Step::Key(key), Attr::M(members)) => {
            members.insert(key.clone(), value);
        }
        (Step::Index(index), Attr::L(list)) => match list.get_mut(*index) {
            Some(entry) => *entry = value,
            None => list.push(value),
        },
        _ => return Err(bad_path()),
    }
    Ok(())
}

/// Removing what is not there is no error.
fn remove(item: &mut Item, path: &Path) {
    let Some((last, parents)) = path.0[1..].split_last() else {
        item.remove(path.root());
        return;
    };
    let Some(mut at) = item.get_mut(path.root()) else {
        return;
    };
    for step in parents {
        let next = match (step, at) {
            (Step::Key(key), Attr::M(members)) => members.get_mut(key),
            (Step::Index(index), Attr::L(list)) => list.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (last, at) {
        (Step::Key(key), Attr::M(members)) => drop(members.remove(key)),
        (Step::Index(index), Attr::L(list)) if *index < list.len() => drop(list.remove(*index)),
        _ => {}
    }
}

fn added(before: Option<&Attr>, value: &Attr) -> Result<Attr, ServiceError> {
    match (before, value) {
        (None, Attr::N(_) | Attr::Ss(_) | Attr::Ns(_) | Attr::Bs(_)) => Ok(value.clone()),
        (Some(Attr::N(a)), Attr::N(b)) => Ok(Attr::N(Number::add(*a, *b)?)),
        (Some(Attr::Ss(a)), Attr::Ss(b)) => Ok(Attr::Ss(a | b)),
        (Some(Attr::Bs(a)), Attr::Bs(b)) => Ok(Attr::Bs(a | b)),
        (Some(Attr::Ns(a)), Attr::Ns(b)) => Ok(Attr::Ns(a | b)),
        _ => Err(wrong_type()),
    }
}

/// What is left of a set; an empty set goes away with its attribute.
fn deleted(before: Option<&Attr>, value: &Attr) -> Result<Option<Attr>, ServiceError> {
    let rest = match (before, value) {
        (None, Attr::Ss(_) | Attr::Ns(_) | Attr::Bs(_)) => return Ok(None),
        (Some(Attr::Ss(a)), Attr::Ss(b)) => Attr::Ss(a - b),
        (Some(Attr::Bs(a)), Attr::Bs(b)) => Attr::Bs(a - b),
        (Some(Attr::Ns(a)), Attr::Ns(b)) => Attr::Ns(a - b),
        _ => return Err(wrong_type()),
    };
    Ok((rest.size() != Some(0)).then_some(rest))
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
