//! Expressions: words, paths and conditions. Parsing refuses what DynamoDB refuses, reserved
//! words included, so that an expression that works here works there.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::invalid;
use super::value::{Attr, Item, Number};
use crate::wire::ServiceError;

/// DynamoDB's reserved words, one a line.
const RESERVED: &str = include_str!("reserved.txt");

type Parsed<T> = Result<T, ServiceError>;

/// One step of a document path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A document path; the first step is a top-level attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub Vec<Step>);

impl Path {
    /// The top-level attribute.
    pub fn root(&self) -> &str {
        match self.0.first() {
            Some(Step::Key(name)) => name,
            _ => "",
        }
    }

    pub fn get<'a>(&self, item: &'a Item) -> Option<&'a Attr> {
        let mut at = item.get(self.root())?;
        for step in &self.0[1..] {
            at = match (step, at) {
                (Step::Key(key), Attr::M(members)) => members.get(key)?,
                (Step::Index(index), Attr::L(list)) => list.get(*index)?,
                _ => return None,
            };
        }
        Some(at)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(formatter, "{key}")?,
                Step::Key(key) => write!(formatter, ".{key}")?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Name(String),
    Value(String),
    Number(usize),
    Sign(&'static str),
}

/// Names and values that came with a request's expressions, and which of them were used.
pub(crate) struct Substitutions {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, Attr>,
    used: RefCell<BTreeSet<String>>,
}

impl Substitutions {
    pub fn of(body: &Value) -> Parsed<Substitutions> {
        let mut names = BTreeMap::new();
        if let Some(Value::Object(given)) = body.get("ExpressionAttributeNames") {
            for (name, value) in given {
                names.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        let mut values = BTreeMap::new();
        if let Some(Value::Object(given)) = body.get("ExpressionAttributeValues") {
            if given.is_empty() {
                return Err(invalid("ExpressionAttributeValues must not be empty"));
            }
            for (name, value) in given {
                values.insert(name.clone(), Attr::parse(value)?);
            }
        }
        Ok(Substitutions {
            names,
            values,
            used: RefCell::default(),
        })
    }

    /// Refuses names and values that no expression mentions, as DynamoDB does.
    pub fn refuse_unused(&self) -> Parsed<()> {
        let used = self.used.borrow();
        let unused = |keys: Vec<&String>| {
            let unused: Vec<&str> = keys
                .into_iter()
                .filter(|key| !used.contains(*key))
                .map(String::as_str)
                .collect();
            (!unused.is_empty()).then(|| unused.join(", "))
        };
        if let Some(keys) = unused(self.names.keys().collect()) {
            return Err(invalid(&format!(
                "Value provided in ExpressionAttributeNames unused in expressions: keys: {{{keys}}}"
            )));
        }
        if let Some(keys) = unused(self.values.keys().collect()) {
            return Err(invalid(&format!(
                "Value provided in ExpressionAttributeValues unused in expressions: keys: {{{keys}}}"
            )));
        }
        Ok(())
    }

    fn name(&self, kind: &str, name: &str) -> Parsed<String> {
        self.used.borrow_mut().insert(name.to_owned());
        self.names.get(name).cloned().ok_or_else(|| {
            invalid(&format!(
                "Invalid {kind}: An expression attribute name used in the document path is not defined; attribute name: {name}"
            ))
        })
    }

    fn value(&self, kind: &str, name: &str) -> Parsed<Attr> {
        self.used.borrow_mut().insert(name.to_owned());
        self.values.get(name).cloned().ok_or_else(|| {
            invalid(&format!(
                "Invalid {kind}: An expression attribute value used in expression is not defined; attribute value: {name}"
            ))
        })
    }
}

/// A parser over the tokens of one expression. `kind` is what messages call the expression.
pub(crate) struct Parser<'a> {
    kind: &'static str,
    tokens: Vec<Token>,
    at: usize,
    given: &'a Substitutions,
}

impl<'a> Parser<'a> {
    pub fn new(kind: &'static str, text: &str, given: &'a Substitutions) -> Parsed<Parser<'a>> {
        if text.trim().is_empty() {
            return Err(invalid(&format!(
                "Invalid {kind}: The expression can not be empty;"
            )));
        }
        Ok(Parser {
            kind,
            tokens: tokens(kind, text)?,
            at: 0,
            given,
        })
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Takes a sign if it is next.
    pub fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    /// Takes a keyword, in any case, if it is next.
    pub fn take_word(&mut self, word: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    pub fn syntax_error(&self) -> ServiceError {
        let near = match self.peek() {
            None => "<EOF>".to_owned(),
            Some(Token::Word(text) | Token::Name(text) | Token::Value(text)) => text.clone(),
            Some(Token::Number(number)) => number.to_string(),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
        };
        invalid(&format!(
            "Invalid {}: Syntax error; token: \"{near}\"",
            self.kind
        ))
    }

    pub fn end(&self) -> Parsed<()> {
        if self.is_done() {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    /// Whether a call `name(` is next.
    pub fn at_call(&self) -> Option<String> {
        match (self.tokens.get(self.at), self.tokens.get(self.at + 1)) {
            (Some(Token::Word(name)), Some(Token::Sign("("))) => Some(name.clone()),
            _ => None,
        }
    }

    pub fn value(&mut self) -> Parsed<Attr> {
        match self.next() {
            Some(Token::Value(name)) => self.given.value(self.kind, &name),
            _ => {
                self.at -= 1;
                Err(self.syntax_error())
            }
        }
    }

    pub fn path(&mut self) -> Parsed<Path> {
        let mut steps = vec![Step::Key(self.path_name()?)];
        loop {
            if self.take(".") {
                steps.push(Step::Key(self.path_name()?));
            } else if self.take("[") {
                match self.next() {
                    Some(Token::Number(index)) => steps.push(Step::Index(index)),
                    _ => return Err(self.syntax_error()),
                }
                self.expect("]")?;
            } else {
                return Ok(Path(steps));
            }
        }
    }

    fn path_name(&mut self) -> Parsed<String> {
        match self.peek().cloned() {
            Some(Token::Name(name)) => {
                self.at += 1;
                self.given.name(self.kind, &name)
            }
            Some(Token::Word(word)) => {
                if RESERVED
                    .lines()
                    .any(|reserved| reserved.eq_ignore_ascii_case(&word))
                {
                    return Err(invalid(&format!(
                        "Invalid {}: Attribute name is a reserved keyword; reserved keyword: {word}",
                        self.kind
                    )));
                }
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.syntax_error()),
        }
    }
}

fn tokens(kind: &str, text: &str) -> Parsed<Vec<Token>> {
    const SIGNS: [&str; 13] = [
        "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ".", "[", "]", "+",
    ];
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let body = if matches!(first, '#' | ':') {
            &rest[1..]
        } else {
            rest
        };
        let length = body
            .find(|character| !is_part(character))
            .unwrap_or(body.len())
            + (rest.len() - body.len());
        let token = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            rest = &rest[sign.len()..];
            Token::Sign(sign)
        } else if first == '-' {
            rest = &rest[1..];
            Token::Sign("-")
        } else if length == 0 || (matches!(first, '#' | ':') && length == 1) {
            return Err(invalid(&format!(
                "Invalid {kind}: Syntax error; token: \"{first}\""
            )));
        } else {
            let word = rest[..length].to_owned();
            rest = &rest[length..];
            match first {
                '#' => Token::Name(word),
                ':' => Token::Value(word),
                '0'..='9' => match word.parse() {
                    Ok(number) => Token::Number(number),
                    Err(_) => {
                        return Err(invalid(&format!(
                            "Invalid {kind}: Syntax error; token: \"{word}\""
                        )));
                    }
                },
                _ => Token::Word(word),
            }
        };
        found.push(token);
        rest = rest.trim_start();
    }
    Ok(found)
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Exists(Path),
    NotExists(Path),
    HasType(Path, Attr),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    Compare(Operand, Comparator, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// What a condition compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Attr),
    Size(Path),
}

impl Operand {
    fn get(&self, item: &Item) -> Option<Attr> {
        match self {
            Operand::Path(path) => path.get(item).cloned(),
            Operand::Value(value) => Some(value.clone()),
            Operand::Size(path) => path
                .get(item)?
                .size()
                .map(|size| Attr::N(Number::from_size(size))),
        }
    }
}

impl Condition {
    /// Parses a whole condition expression.
    pub fn parse(kind: &'static str, text: &str, given: &Substitutions) -> Parsed<Condition> {
        let mut parser = Parser::new(kind, text, given)?;
        let condition = parser.or()?;
        parser.end()?;
        Ok(condition)
    }

    /// Whether it holds for an item; a missing item is an empty one.
    pub fn holds(&self, item: &Item) -> bool {
        match self {
            Condition::And(a, b) => a.holds(item) && b.holds(item),
            Condition::Or(a, b) => a.holds(item) || b.holds(item),
            Condition::Not(inner) => !inner.holds(item),
            Condition::Exists(path) => path.get(item).is_some(),
            Condition::NotExists(path) => path.get(item).is_none(),
            Condition::HasType(path, kind) => path
                .get(item)
                .is_some_and(|value| *kind == Attr::S(value.kind().to_owned())),
            Condition::BeginsWith(value, prefix) => match (value.get(item), prefix.get(item)) {
                (Some(Attr::S(value)), Some(Attr::S(prefix)))
                | (Some(Attr::B(value)), Some(Attr::B(prefix))) => value.starts_with(&prefix),
                _ => false,
            },
            Condition::Contains(value, wanted) => value
                .get(item)
                .zip(wanted.get(item))
                .is_some_and(|(value, wanted)| value.contains(&wanted)),
            Condition::Compare(a, comparator, b) => comparator.holds(a.get(item), b.get(item)),
            Condition::Between(value, low, high) => {
                Comparator::Ge.holds(value.get(item), low.get(item))
                    && Comparator::Le.holds(value.get(item), high.get(item))
            }
            Condition::In(value, list) => list
                .iter()
                .any(|entry| Comparator::Eq.holds(value.get(item), entry.get(item))),
        }
    }
}

impl Comparator {
    fn holds(self, a: Option<Attr>, b: Option<Attr>) -> bool {
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) => (a, b),
            // A missing attribute differs from everything and compares with nothing.
            _ => return self == Comparator::Ne,
        };
        match self {
            Comparator::Eq => a == b,
            Comparator::Ne => a != b,
            Comparator::Lt => a.order(&b) == Some(Ordering::Less),
            Comparator::Le => a.order(&b).is_some_and(Ordering::is_le),
            Comparator::Gt => a.order(&b) == Some(Ordering::Greater),
            Comparator::Ge => a.order(&b).is_some_and(Ordering::is_ge),
        }
    }
}

impl Parser<'_> {
    fn or(&mut self) -> Parsed<Condition> {
        let mut left = self.and()?;
        while self.take_word("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Condition> {
        let mut left = self.not()?;
        while self.take_word("AND") {
            left = Condition::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed<Condition> {
        if self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.not()?)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Condition> {
        if self.take("(") {
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.at_call().as_deref() {
            None | Some("size") => self.comparison(),
            Some(function) => self.call(function),
        }
    }

    fn call(&mut self, function: &str) -> Parsed<Condition> {
        self.at += 2;
        let condition = match function {
            "attribute_exists" => Condition::Exists(self.path()?),
            "attribute_not_exists" => Condition::NotExists(self.path()?),
            "attribute_type" => {
                let path = self.path()?;
                self.expect(",")?;
                Condition::HasType(path, self.value()?)
            }
            "begins_with" => {
                let value = self.operand()?;
                self.expect(",")?;
                Condition::BeginsWith(value, self.operand()?)
            }
            "contains" => {
                let value = self.operand()?;
                self.expect(",")?;
                Condition::Contains(value, self.operand()?)
            }
            other => {
                return Err(invalid(&format!(
                    "Invalid {}: Invalid function name; function: {other}",
                    self.kind
                )));
            }
        };
        self.expect(")")?;
        Ok(condition)
    }

    fn comparison(&mut self) -> Parsed<Condition> {
        let left = self.operand()?;
        if self.take_word("BETWEEN") {
            let low = self.operand()?;
            if !self.take_word("AND") {
                return Err(self.syntax_error());
            }
            return Ok(Condition::Between(left, low, self.operand()?));
        }
        if self.take_word("IN") {
            self.expect("(")?;
            let mut list = vec![self.operand()?];
            while self.take(",") {
                list.push(self.operand()?);
            }
            self.expect(")")?;
            return Ok(Condition::In(left, list));
        }
        let comparators = [
            ("=", Comparator::Eq),
            ("<>", Comparator::Ne),
            ("<=", Comparator::Le),
            (">=", Comparator::Ge),
            ("<", Comparator::Lt),
            (">", Comparator::Gt),
        ];
        let Some((sign, comparator)) = comparators.into_iter().find(|(sign, _)| self.take(sign))
        else {
            return Err(self.syntax_error());
        };
        let right = self.operand()?;
        if !matches!(comparator, Comparator::Eq | Comparator::Ne) {
            for operand in [&left, &right] {
                if let Operand::Value(value) = operand
                    && value.order(value).is_none()
                {
                    return Err(invalid(&format!(
                        "Invalid {}: Incorrect operand type for operator or function; operator: {sign}, operand type: {}",
                        self.kind,
                        value.kind()
                    )));
                }
            }
        }
        if left == right && matches!(left, Operand::Path(_)) {
            return Err(invalid(&format!(
                "Invalid {}: The first operand must be distinct from the remaining operands for this operator or function; operator: {sign}",
                self.kind
            )));
        }
        Ok(Condition::Compare(left, comparator, right))
    }

    fn operand(&mut self) -> Parsed<Operand> {
        match (self.peek(), self.at_call().as_deref()) {
            (_, Some("size")) => {
                self.at += 2;
                let path = self.path()?;
                self.expect(")")?;
                Ok(Operand::Size(path))
            }
            (Some(Token::Value(_)), _) => Ok(Operand::Value(self.value()?)),
            _ => Ok(Operand::Path(self.path()?)),
        }
    }
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
