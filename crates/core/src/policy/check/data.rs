//! Reading checks of data that need no SQL. Each kind is a table of keys, from which the JSON Schema comes, too.

use serde_json::{Value, json};

use super::super::CheckKind;
use super::super::data::{
    DataCheck, Duplicate, FailedRows, Freshness, LONGEST_IDENTIFIER, MOST_COLUMNS, MOST_FACTS,
    MOST_TABLES, Manifest, ManifestCounts, Missing, ProfileCheck, Question, References, RowCount,
    SchemaCheck, SchemaWish, TableName, Unit, identifier,
};
use super::{read_expectation, read_query, read_time_zone};
use crate::expectation::Expectation;
use crate::keys::{Key, Own, Table, Words, key, needed};
use crate::reader::{Item, Section};

/// The kinds of data checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RowCount,
    Freshness,
    Missing,
    Duplicate,
    FailedRows,
    References,
    Manifest,
    Schema,
    Profile,
}

impl Kind {
    /// All of them with their words. dbt's users know `references` by another.
    pub(crate) const WORDS: [(&'static str, Kind); 10] = [
        ("row_count", Kind::RowCount),
        ("freshness", Kind::Freshness),
        ("missing", Kind::Missing),
        ("duplicate", Kind::Duplicate),
        ("failed_rows", Kind::FailedRows),
        ("references", Kind::References),
        ("relationships", Kind::References),
        ("manifest", Kind::Manifest),
        ("schema", Kind::Schema),
        ("profile", Kind::Profile),
    ];

    /// Its keys beside those of every check.
    pub(crate) fn table(self) -> &'static Table {
        match self {
            Kind::RowCount => &ROW_COUNT,
            Kind::Freshness => &FRESHNESS,
            Kind::Missing => &MISSING,
            Kind::Duplicate => &DUPLICATE,
            Kind::FailedRows => &FAILED_ROWS,
            Kind::References => &REFERENCES,
            Kind::Manifest => &MANIFEST,
            Kind::Schema => &SCHEMA,
            Kind::Profile => &PROFILE,
        }
    }
}

static ROW_COUNT: Table = Table {
    words: "How many rows a table has.",
    keys: &[&TABLE, &EXPECT_COUNT, &WARN_COUNT, &DATABASE],
};

static FRESHNESS: Table = Table {
    words: "How old the newest row of a table was when the backup was made.",
    keys: &[
        &TABLE,
        &TIME_COLUMN,
        &EXPECT_AGE,
        &WARN_AGE,
        &TIME_ZONE,
        &DATA_AGE,
        &DATABASE,
    ],
};

static MISSING: Table = Table {
    words: "How many rows have no value in a column.",
    keys: &[
        &TABLE,
        &VALUE_COLUMN,
        &EXPECT_FEW,
        &WARN_FEW,
        &UNIT,
        &DATABASE,
    ],
};

static DUPLICATE: Table = Table {
    words: "How many rows repeat another in some columns.",
    keys: &[
        &TABLE,
        &UNIQUE_COLUMNS,
        &EXPECT_FEW,
        &WARN_FEW,
        &UNIT,
        &DATABASE,
    ],
};

static FAILED_ROWS: Table = Table {
    words: "How many rows a condition is true of that should be true of none.",
    keys: &[&TABLE, &CONDITION, &EXPECT_FEW, &WARN_FEW, &UNIT, &DATABASE],
};

static REFERENCES: Table = Table {
    words: "How many rows refer to a row of another table that is not there.",
    keys: &[
        &TABLE,
        &REFERRING_COLUMNS,
        &TO,
        &TO_COLUMNS,
        &EXPECT_FEW,
        &WARN_FEW,
        &UNIT,
        &DATABASE,
    ],
};

static MANIFEST: Table = Table {
    words: "Whether the database holds what its source wrote about itself: when, and how many rows tables had.",
    keys: &[
        &TABLE,
        &MANIFEST_COLUMN,
        &EXPECT_MANIFEST,
        &WARN_MANIFEST,
        &COUNTED_TABLES,
        &SUBJECT,
        &ROWS,
        &TOLERANCE,
        &TIME_ZONE,
        &DATABASE,
    ],
};

static MANIFEST_COLUMN: Key<Own<String>> = needed(
    "column",
    "The column with the time at which the source wrote a row of the manifest.",
    "column = \"written_at\"",
    COLUMN_NAME,
);

static EXPECT_MANIFEST: Key<Own<Expectation>> = needed(
    "expect",
    "How old the newest row of the manifest may be: max_age.",
    "expect = { max_age = \"1h\" }",
    AGE,
);

static WARN_MANIFEST: Key<Own<Expectation>> = key(
    "warn",
    "How old the newest row of the manifest should be at most: if it is older, the check passes with a finding.",
    AGE,
);

static COUNTED_TABLES: Key<Own<Vec<TableName>>> = key(
    "tables",
    "Tables whose rows are compared with what the newest rows of the manifest say. Without it the manifest is a heartbeat.",
    TABLE_NAMES,
);

static SUBJECT: Key<Own<String>> = key(
    "subject",
    "The manifest's column with the name of a table, as tables writes it. Default: table_name.",
    COLUMN_NAME,
);

static ROWS: Key<Own<String>> = key(
    "rows",
    "The manifest's column with how many rows that table had. Default: row_count.",
    COLUMN_NAME,
);

static TOLERANCE: Key<Own<f64>> = key(
    "tolerance",
    "By how many percent of what the manifest says a number of rows may differ. Default: 0.",
    Own {
        read: |item| {
            let percent = item.number()?;
            if (0.0..100.0).contains(&percent) {
                return Some(percent);
            }
            item.mistake("must be from 0 percent to less than 100");
            None
        },
        schema: || json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 100 }),
    },
);

static SCHEMA: Table = Table {
    words: "What the schema of a database must have; a database without any table fails.",
    keys: &[&EXPECT_SCHEMA, &WARN_SCHEMA, &DATABASE],
};

static PROFILE: Table = Table {
    words: "What a database holds, in numbers; a database without any table fails.",
    keys: &[&TABLES, &DATABASE],
};

static TABLES: Key<Own<Vec<TableName>>> = key(
    "tables",
    "Tables whose rows are measured one by one: counted, or estimated above limits.largest_scan.",
    TABLE_NAMES,
);

const TABLE_NAMES: Own<Vec<TableName>> = Own {
    read: |item| {
        let items = item.list()?;
        if items.is_empty() || items.len() > MOST_TABLES {
            item.mistake(format!("must name 1 to {MOST_TABLES} tables"));
            return None;
        }
        let tables: Vec<Option<TableName>> = items.iter().map(TABLE_NAME.read).collect();
        tables.into_iter().collect()
    },
    schema: || json!({ "type": "array", "minItems": 1, "maxItems": MOST_TABLES, "items": (TABLE_NAME.schema)() }),
};

static EXPECT_SCHEMA: Key<Own<SchemaWish>> = key(
    "expect",
    "What the schema must be. Default: it has a table.",
    WISH,
);

static WARN_SCHEMA: Key<Own<SchemaWish>> = key(
    "warn",
    "What the schema should be: if it is not, the check passes with a finding.",
    WISH,
);

const WISH: Own<SchemaWish> = Own {
    read: read_wish,
    schema: || WISH_TABLE.schema(),
};

static WISH_TABLE: Table = Table {
    words: "What is wished of the schema.",
    keys: &[&HAS, &LACKS, &FINGERPRINT],
};

static HAS: Key<Own<Vec<String>>> = key(
    "has",
    "Facts that are there, or their beginnings up to a blank, such as \"index public.orders.orders_pkey valid\".",
    FACTS,
);

static LACKS: Key<Own<Vec<String>>> = key(
    "lacks",
    "Facts that are not there, such as \"grant public.orders to PUBLIC\".",
    FACTS,
);

static FINGERPRINT: Key<Own<String>> = key(
    "fingerprint",
    "The fingerprint of the whole schema, the check's value: 16 digits and letters.",
    Own {
        read: |item| {
            let text = item.text()?;
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if text.len() == 16 && text.bytes().all(is_digit) {
                return Some(text.to_owned());
            }
            item.mistake(
                "is no fingerprint of a schema: it has 16 of the digits 0 to 9 and a to f; run the check to see it",
            );
            None
        },
        schema: || json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" }),
    },
);

const FACTS: Own<Vec<String>> = Own {
    read: |item| {
        let items = item.list()?;
        if items.is_empty() || items.len() > MOST_FACTS {
            item.mistake(format!("must name 1 to {MOST_FACTS} facts"));
            return None;
        }
        let facts: Vec<Option<String>> = items
            .iter()
            .map(|item| item.line(LONGEST_FACT).map(str::to_owned))
            .collect();
        facts.into_iter().collect()
    },
    schema: || {
        json!({ "type": "array", "minItems": 1, "maxItems": MOST_FACTS,
                "items": super::super::schema::line(LONGEST_FACT) })
    },
};

fn read_wish(item: &Item<'_>) -> Option<SchemaWish> {
    let mut section = item.section()?;
    let is_empty = section.is_empty();
    let (has, lacks, fingerprint) = (
        section.get(&HAS),
        section.get(&LACKS),
        section.get(&FINGERPRINT),
    );
    section.finish();
    if is_empty {
        item.mistake("is empty; write has, lacks or fingerprint");
        return None;
    }
    Some(SchemaWish {
        has: has?.unwrap_or_default(),
        lacks: lacks?.unwrap_or_default(),
        fingerprint: fingerprint?,
    })
}

/// The longest fact that a policy may name, characters.
const LONGEST_FACT: usize = 1000;

static TABLE: Key<Own<TableName>> = needed(
    "table",
    "The table or view, in the letters it is stored in; with a schema before it, such as shop.orders, if it is not in public (PostgreSQL) or in the database that is connected to (MySQL, MariaDB).",
    "table = \"orders\"",
    TABLE_NAME,
);

static TO: Key<Own<TableName>> = needed(
    "to",
    "The table that is referred to.",
    "to = \"customers\"",
    TABLE_NAME,
);

static TIME_COLUMN: Key<Own<String>> = needed(
    "column",
    "The column with the time at which a row was written.",
    "column = \"created_at\"",
    COLUMN_NAME,
);

static VALUE_COLUMN: Key<Own<String>> = needed(
    "column",
    "The column that must have a value.",
    "column = \"email\"",
    COLUMN_NAME,
);

static UNIQUE_COLUMNS: Key<Own<Vec<String>>> = needed(
    "columns",
    "The columns that no two rows share; rows without a value in one of them are left out.",
    "columns = [\"email\"]",
    COLUMN_NAMES,
);

static REFERRING_COLUMNS: Key<Own<Vec<String>>> = needed(
    "columns",
    "The columns that refer; rows without a value in one of them are left out.",
    "columns = [\"customer_id\"]",
    COLUMN_NAMES,
);

static TO_COLUMNS: Key<Own<Vec<String>>> = needed(
    "to_columns",
    "The columns that are referred to, as many.",
    "to_columns = [\"id\"]",
    COLUMN_NAMES,
);

static CONDITION: Key<Own<String>> = needed(
    "condition",
    "What is true of a failed row, in the engine's SQL.",
    "condition = \"amount < 0\"",
    Own {
        read: read_query,
        schema: || json!({ "type": "string", "pattern": "\\S", "examples": ["amount < 0"] }),
    },
);

static EXPECT_COUNT: Key<Own<Expectation>> = key(
    "expect",
    "What the number of rows must be: equals, min, max or between. Default: at least 1.",
    COUNT,
);

static WARN_COUNT: Key<Own<Expectation>> = key(
    "warn",
    "What the number of rows should be: if it is not, the check passes with a finding.",
    COUNT,
);

static EXPECT_AGE: Key<Own<Expectation>> = needed(
    "expect",
    "How old the newest row may be: max_age.",
    "expect = { max_age = \"15m\" }",
    AGE,
);

static WARN_AGE: Key<Own<Expectation>> = key(
    "warn",
    "How old the newest row should be at most: if it is older, the check passes with a finding.",
    AGE,
);

static EXPECT_FEW: Key<Own<Expectation>> = key(
    "expect",
    "How many rows there may be of this kind: max. Default: none.",
    FEW,
);

static WARN_FEW: Key<Own<Expectation>> = key(
    "warn",
    "How many rows there should be of this kind at most: if there are more, the check passes with a finding.",
    FEW,
);

static UNIT: Key<Words<Unit>> = key(
    "unit",
    "What expect and warn count in. Default: rows.",
    Words(&[("rows", Unit::Rows), ("percent", Unit::Percent)]),
);

static TIME_ZONE: Key<Own<String>> = key(
    "time_zone",
    "IANA name of the time zone in which timestamps without one are read. Default: UTC.",
    Own {
        read: read_time_zone,
        schema: || json!({ "type": "string", "minLength": 1, "examples": ["UTC", "Europe/Berlin"] }),
    },
);

static DATA_AGE: Key<Own<bool>> = key(
    "data_age",
    "Whether it says how new the newest data is. Default: true for the rule's only check with max_age.",
    Own {
        read: |item| item.boolean(),
        schema: || json!({ "type": "boolean" }),
    },
);

static DATABASE: Key<Own<String>> = key(
    "database",
    "Database to connect to. Default: the secret's dbname, or the one that was made with the DB instance.",
    Own {
        read: |item| item.line(LONGEST_IDENTIFIER).map(str::to_owned),
        schema: || super::super::schema::line(LONGEST_IDENTIFIER),
    },
);

const TABLE_NAME: Own<TableName> = Own {
    read: |item| {
        let parsed = item.text()?.parse();
        parsed.map_err(|problem: String| item.mistake(problem)).ok()
    },
    schema: || json!({ "type": "string", "minLength": 1, "examples": ["orders", "shop.orders"] }),
};

const COLUMN_NAME: Own<String> = Own {
    read: read_column,
    schema: column_schema,
};

const COLUMN_NAMES: Own<Vec<String>> = Own {
    read: |item| {
        let items = item.list()?;
        if items.is_empty() || items.len() > MOST_COLUMNS {
            item.mistake(format!("must name 1 to {MOST_COLUMNS} columns"));
            return None;
        }
        let names: Vec<Option<String>> = items.iter().map(read_column).collect();
        names.into_iter().collect()
    },
    schema: || json!({ "type": "array", "minItems": 1, "maxItems": MOST_COLUMNS, "items": column_schema() }),
};

fn read_column(item: &Item<'_>) -> Option<String> {
    let name = identifier(item.text()?);
    name.map_err(|problem| item.mistake(problem)).ok()
}

fn column_schema() -> Value {
    super::super::schema::line(LONGEST_IDENTIFIER)
}

const COUNT: Own<Expectation> = Own {
    read: |item| {
        let expect = read_expectation(item)?;
        match expect {
            Expectation::Min(_) | Expectation::Max(_) | Expectation::Between(..) => Some(expect),
            Expectation::Equals(crate::expectation::Constant::Integer(_)) => Some(expect),
            Expectation::Equals(_)
            | Expectation::MaxAge(_)
            | Expectation::NotEmpty
            | Expectation::Matches(_) => {
                item.mistake(
                    "is about a number of rows; write equals, min, max or between with whole numbers",
                );
                None
            }
        }
    },
    schema: expectation_schema,
};

const AGE: Own<Expectation> = Own {
    read: |item| {
        let expect = read_expectation(item)?;
        if matches!(expect, Expectation::MaxAge(_)) {
            return Some(expect);
        }
        item.mistake("is about the age of the newest row; write for example { max_age = \"15m\" }");
        None
    },
    schema: expectation_schema,
};

const FEW: Own<Expectation> = Own {
    read: |item| {
        let expect = read_expectation(item)?;
        if matches!(expect, Expectation::Max(most) if most >= 0.0) {
            return Some(expect);
        }
        item.mistake("says how many rows there may be at most; write for example { max = 0 }");
        None
    },
    schema: expectation_schema,
};

fn expectation_schema() -> Value {
    json!({ "$ref": "#/$defs/expect" })
}

/// A data check as far as it could be read, with what the rule as a whole must know about it.
pub(super) struct Read<'t> {
    pub(super) check: Option<CheckKind>,
    /// `data_age = true`, where it says so.
    pub(super) measures: Option<Item<'t>>,
    /// Whether it measures the data's age when no check says it does.
    pub(super) could_measure: bool,
}

impl Read<'_> {
    /// A check that measures no age.
    fn of(check: Option<CheckKind>) -> Self {
        Read {
            check,
            measures: None,
            could_measure: false,
        }
    }
}

/// Reads a check of this kind.
pub(super) fn read<'t>(kind: Kind, mut check: Section<'t>, largest_scan: u64) -> Read<'t> {
    let mut measures = None;
    let mut could_measure = false;
    let warn_item = check.quiet(WARN_FEW.name);
    let (question, expect, warn) = match kind {
        Kind::RowCount => {
            let table = check.need(&TABLE);
            let expect = check.get(&EXPECT_COUNT);
            (
                table.map(|table| Question::RowCount(RowCount { table })),
                expect.map(|expect| expect.unwrap_or(Expectation::Min(1.0))),
                check.get(&WARN_COUNT),
            )
        }
        Kind::Freshness => {
            let (table, column) = (check.need(&TABLE), check.need(&TIME_COLUMN));
            let (expect, warn) = (check.need(&EXPECT_AGE), check.get(&WARN_AGE));
            let time_zone = check.get(&TIME_ZONE);
            let data_age_item = check.quiet(DATA_AGE.name);
            let data_age = check.get(&DATA_AGE);
            could_measure = data_age == Some(None);
            measures = data_age_item.filter(|_| data_age == Some(Some(true)));
            let question = || {
                Some(Question::Freshness(Freshness {
                    table: table?,
                    column: column?,
                    time_zone: time_zone?.unwrap_or_else(|| "UTC".to_owned()),
                    data_age: data_age?.unwrap_or(false),
                }))
            };
            (question(), expect, warn)
        }
        Kind::Missing => {
            let (table, column) = (check.need(&TABLE), check.need(&VALUE_COLUMN));
            let (unit, expect, warn) = few(&mut check);
            let question = || {
                Some(Question::Missing(Missing {
                    table: table?,
                    column: column?,
                    unit: unit?,
                }))
            };
            (question(), expect, warn)
        }
        Kind::Duplicate => {
            let (table, columns) = (check.need(&TABLE), check.need(&UNIQUE_COLUMNS));
            let (unit, expect, warn) = few(&mut check);
            let question = || {
                Some(Question::Duplicate(Duplicate {
                    table: table?,
                    columns: columns?,
                    unit: unit?,
                }))
            };
            (question(), expect, warn)
        }
        Kind::FailedRows => {
            let (table, condition) = (check.need(&TABLE), check.need(&CONDITION));
            let (unit, expect, warn) = few(&mut check);
            let question = || {
                Some(Question::FailedRows(FailedRows {
                    table: table?,
                    condition: condition?,
                    unit: unit?,
                }))
            };
            (question(), expect, warn)
        }
        Kind::References => {
            let (table, columns) = (check.need(&TABLE), check.need(&REFERRING_COLUMNS));
            let to = check.need(&TO);
            let to_columns = to_columns(&mut check, columns.as_ref().map(Vec::len));
            let (unit, expect, warn) = few(&mut check);
            let question = || {
                Some(Question::References(References {
                    table: table?,
                    columns: columns?,
                    to: to?,
                    to_columns: to_columns?,
                    unit: unit?,
                }))
            };
            (question(), expect, warn)
        }
        Kind::Manifest => {
            let (table, column) = (check.need(&TABLE), check.need(&MANIFEST_COLUMN));
            let (expect, warn) = (check.need(&EXPECT_MANIFEST), check.get(&WARN_MANIFEST));
            let time_zone = check.get(&TIME_ZONE);
            let counts = read_counts(&mut check);
            let question = || {
                Some(Question::Manifest(Manifest {
                    table: table?,
                    column: column?,
                    time_zone: time_zone?.unwrap_or_else(|| "UTC".to_owned()),
                    counts: counts?,
                }))
            };
            (question(), expect, warn)
        }
        Kind::Schema => return Read::of(read_schema(check).map(CheckKind::Schema)),
        Kind::Profile => {
            return Read::of(read_profile(check, largest_scan).map(CheckKind::Profile));
        }
    };
    let database = check.get(&DATABASE);
    check.finish();
    if let (Some(item), Some(expect), Some(Some(warn))) = (&warn_item, &expect, &warn)
        && never_warns(expect, warn)
    {
        item.mistake(format!(
            "never warns: what is not {warn} is not {expect} either, and fails"
        ));
    }
    let read = || {
        Some(DataCheck {
            database: database?,
            question: question?,
            expect: expect?,
            warn: warn?,
            largest_scan,
        })
    };
    Read {
        check: read().map(CheckKind::Data),
        measures,
        could_measure,
    }
}

/// What a manifest says of tables; `Some(None)` where none are named.
fn read_counts(check: &mut Section<'_>) -> Option<Option<ManifestCounts>> {
    let useless = [SUBJECT.name, ROWS.name, TOLERANCE.name].map(|key| check.quiet(key));
    let tables = check.get(&COUNTED_TABLES);
    let (subject, rows) = (check.get(&SUBJECT), check.get(&ROWS));
    let tolerance = check.get(&TOLERANCE);
    let Some(tables) = tables? else {
        for item in useless.into_iter().flatten() {
            item.mistake("says nothing without tables");
        }
        return Some(None);
    };
    Some(Some(ManifestCounts {
        subject: subject?.unwrap_or_else(|| "table_name".to_owned()),
        rows: rows?.unwrap_or_else(|| "row_count".to_owned()),
        tables,
        tolerance: tolerance?.unwrap_or(0.0),
    }))
}

fn read_profile(mut check: Section<'_>, largest_scan: u64) -> Option<ProfileCheck> {
    let (tables, database) = (check.get(&TABLES), check.get(&DATABASE));
    check.finish();
    Some(ProfileCheck {
        database: database?,
        tables: tables?.unwrap_or_default(),
        largest_scan,
    })
}

fn read_schema(mut check: Section<'_>) -> Option<SchemaCheck> {
    let (expect, warn) = (check.get(&EXPECT_SCHEMA), check.get(&WARN_SCHEMA));
    let database = check.get(&DATABASE);
    check.finish();
    Some(SchemaCheck {
        database: database?,
        expect: expect?.unwrap_or_default(),
        warn: warn?,
    })
}

/// How many rows of a bad kind there may be, and there should be at most, and what that counts in.
fn few(
    check: &mut Section<'_>,
) -> (
    Option<Unit>,
    Option<Expectation>,
    Option<Option<Expectation>>,
) {
    let unit = check.get(&UNIT).map(Option::unwrap_or_default);
    let items = [EXPECT_FEW.name, WARN_FEW.name].map(|key| check.quiet(key));
    let (expect, warn) = (check.get(&EXPECT_FEW), check.get(&WARN_FEW));
    for (item, bound) in items.iter().zip([&expect, &warn]) {
        if let (Some(item), Some(Some(Expectation::Max(most)))) = (item, bound)
            && *most >= 100.0
            && unit == Some(Unit::Percent)
        {
            item.mistake("bounds nothing: there are never more than 100 percent");
        }
    }
    let none_at_all = Expectation::Max(0.0);
    (
        unit,
        expect.map(|expect| expect.unwrap_or(none_at_all)),
        warn,
    )
}

/// The columns that are referred to, as many as refer.
fn to_columns(check: &mut Section<'_>, referring: Option<usize>) -> Option<Vec<String>> {
    let item = check.quiet(TO_COLUMNS.name);
    let columns = check.need(&TO_COLUMNS)?;
    match referring {
        Some(referring) if referring != columns.len() => {
            item?.mistake(format!(
                "must name as many columns as `columns` does: {referring}"
            ));
            None
        }
        _ => Some(columns),
    }
}

/// Whether whatever breaks the softer bound breaks the harder one, too.
fn never_warns(expect: &Expectation, warn: &Expectation) -> bool {
    match (expect, warn) {
        (Expectation::Max(hard), Expectation::Max(soft)) => soft >= hard,
        (Expectation::Min(hard), Expectation::Min(soft)) => soft <= hard,
        (Expectation::MaxAge(hard), Expectation::MaxAge(soft)) => soft >= hard,
        (hard, soft) => hard == soft,
    }
}
