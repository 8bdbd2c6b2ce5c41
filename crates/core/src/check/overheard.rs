//! What a server says in its own words, and how much of that may be seen.
//!
//! A message is the server's, and whoever has a hand in the server or in a query may have it say anything. It is shown as it is
//! when each of its words is one that these servers' messages are made of, or one that we have sent ourselves: the query, the
//! login, the names of database and host. Otherwise it is text from the restored copy.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::ceiling::{number, text_or};

/// The most numbers in a message that is shown as it is: an address, a port, a line, a limit.
const NUMBERS: usize = 6;
/// The most digits of one of them.
const DIGITS: usize = 10;

/// The words of PostgreSQL's messages of the classes that may be shown, and of MySQL's and MariaDB's (their `errmsg` files).
static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "a accept accepted affected accepting access account add administrator aggregate alias aliases all allow allowed already also alter ambiguous an \
     and another any appear appears are argument arguments array as at attribute attributes attempt authentication automatic available \
     bad be because been before begin belong best between beyond blocked blocks boolean but by bytes call called can canceled canceling \
     cannot cast casts certificate change changed character characters check checkpoint choose clause client clients collation column \
     columns command commands commit conf configuration configured conflict connect connection connections consider constraint \
     contain contains context copy corrupted corresponds could count crash crashed create current cursor data database databases \
     deadlock define defined definer delete denied dependent derived detected did different directory discarded disk distinct do does \
     doesn domain drop due duplicate during duration each either encrypted encryption end engine entry enough error errors every \
     exceed exceeded exceeds exclude execute execution exist existent exists expected expired expression expressions extension failed fatal few \
     field fields file files flush for foreign forgot found from full function functionally functions get given go gone got grant grants \
     group grouping had has have having help hint host hosts idle if illegal in incompatible incorrect index indexes initialized inner \
     input insecure insert instance instead insufficient integer interrupted into invalid invoker is it item its join key keys lack \
     language large last lateral least left length level like limit limited line list loaded local localhost lock locked locks \
     log logged logging login long longer lost manual many mariadb mariadbd marked match materialized max maximum may memory message missing \
     mixing mode more most must mysql mysqladmin mysqld name named names near need needs nested new next no non nonaggregated normal not null number object \
     objects of off on one only only_full_group_by open operand operation operator option or order others out outer over overlay own owner \
     packet page parameter parentheses parse part partition password peer perform permission permissions permitted pg_catalog pg_hba plugin policy \
     postgres prefix prepared privilege privileges procedure process prohibited property protocol public query quota read reached recovery \
     recursive refer reference references refused relation remaining repair repaired replication request requested require required reserved reset \
     resize resource resources restarting restore restricted result retry return returned returns right rights role roles rollback \
     rolled routine row rows running s schema scram security segment select semaphore sequence server servers session set setting shared should \
     shutdown shutting since size slots small sorry source space special specific specified specify sql sql_mode ssl standby \
     start starting statement statements status still stop storage string subquery subselect such superuser superusers support supported \
     syntax system t table tables tablespace target temporary terminated terminating text than that the their them then there this \
     time timeout timestamp tls to too transaction transactions transport trigger truncate try trying two type types unable unblock undefined unexpected unique unknown unterminated up update \
     upgrading use used user users uses using valid value values variable version view views virtual wait waiting was were when where which while \
     whose will window with within without work would write yes you your zero zone"
        .split_ascii_whitespace()
        .collect()
});

/// A message of a server, marked unless it holds nothing but known words. `sent` is what we have sent.
pub fn message(message: &str, sent: &[&str]) -> String {
    if is_known(message, sent) {
        with_numbers_marked(message, sent)
    } else {
        text_or(message, "[the server's words withheld]")
    }
}

/// A name that a server says, marked unless we have sent it.
pub fn name(name: &str, sent: &[&str]) -> String {
    if is_known(name, sent) {
        name.to_owned()
    } else {
        text_or(name, "[a name withheld]")
    }
}

fn is_known(message: &str, sent: &[&str]) -> bool {
    let sent: HashSet<String> = sent
        .iter()
        .flat_map(|text| words(text))
        .map(str::to_lowercase)
        .collect();
    // A query may have several lines; other control characters are in no message, and mark data in ours.
    if message.contains(|c: char| c.is_control() && c != '\n') {
        return false;
    }
    let mut numbers = 0;
    words(message).all(|word| {
        let lower = word.to_lowercase();
        if WORDS.contains(lower.as_str()) || sent.contains(&lower) {
            return true;
        }
        numbers += 1;
        let is_number = word.len() <= DIGITS && word.bytes().all(|byte| byte.is_ascii_digit());
        is_number && numbers <= NUMBERS
    })
}

/// The message, in which numbers that we have not sent are marked as what they are.
fn with_numbers_marked(message: &str, sent: &[&str]) -> String {
    let is_sent = |word: &str| sent.iter().any(|text| words(text).any(|one| one == word));
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    for word in words(message).filter(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
        let Some((before, after)) = rest.split_once(word) else {
            break;
        };
        out += before;
        out += &if is_sent(word) {
            word.to_owned()
        } else {
            number(word)
        };
        rest = after;
    }
    out + rest
}

/// The words of a text: names, numbers and the words of a language alike.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::{Ceiling, Marked};

    fn seen(text: &str, query: &str) -> String {
        Marked::from(message(text, &[query, "reader", "shop"])).at(Ceiling::Numbers)
    }

    #[test]
    fn what_servers_say_of_our_own_words_is_shown() {
        for (message, query) in [
            (
                "relation \"orders\" does not exist",
                "select count(*) from orders",
            ),
            (
                "relation \"shop.Orders\" does not exist",
                "select count(*) from shop.\"Orders\"",
            ),
            (
                "column o.paid_by does not exist",
                "select o.paid_by from orders o",
            ),
            ("permission denied for table orders", "select 1 from orders"),
            ("database \"shop\" does not exist", ""),
            ("password authentication failed for user \"reader\"", ""),
            (
                "no pg_hba.conf entry for host \"10.255.0.7\", user \"reader\", database \"shop\", no encryption",
                "",
            ),
            ("syntax error at or near \"fro\"", "select 1 fro orders"),
            ("canceling statement due to statement timeout", ""),
            ("cannot execute INSERT in a read-only transaction", ""),
            ("sorry, too many clients already", ""),
            (
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                "",
            ),
            ("function foo(integer) does not exist", "select foo(1)"),
            (
                "query would be affected by row-level security policy for table \"orders\"",
                "select 1 from orders",
            ),
            (
                "Table 'shop.orders' doesn't exist",
                "select count(*) from orders",
            ),
            (
                "Unknown column 'paid_by' in 'SELECT'",
                "select paid_by from orders",
            ),
            (
                "Unknown column 'paid_by' in 'field list'",
                "select paid_by from orders",
            ),
            ("Unknown database 'shop'", ""),
            (
                "Access denied for user 'reader'@'10.0.0.7' (using password: YES)",
                "",
            ),
            (
                "SELECT command denied to user 'reader'@'localhost' for table `shop`.`orders`",
                "select 1 from orders",
            ),
            (
                "You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server version for the \
                 right syntax to use near 'fro orders' at line 1",
                "select 1 fro orders",
            ),
            (
                "Got error 127 \"Found wrong checksum\" from storage engine",
                "wrong checksum",
            ),
            (
                "Table 'orders' is marked as crashed and should be repaired",
                "select 1 from orders",
            ),
        ] {
            assert_eq!(seen(message, query), message);
        }
    }

    #[test]
    fn what_is_neither_ours_nor_a_known_word_is_text_from_the_copy() {
        for (message, query) in [
            (
                "relation \"erika@example.org\" does not exist",
                "select email::regclass from customers",
            ),
            ("Relation »orders« existiert nicht", "select 1 from orders"),
            ("out of memory: Erika Mustermann", ""),
            ("1 2 3 4 5 6 7", ""),
            ("12345678901", ""),
            ("Unknown plugin `mustermann`", ""),
            ("out of memory\u{7}", ""),
        ] {
            assert_eq!(
                seen(message, query),
                "[the server's words withheld]",
                "{message}"
            );
            let all = Marked::from(super::message(message, &[query])).at(Ceiling::Text);
            assert_eq!(all, message);
        }
        assert_eq!(
            Marked::from(name("orders", &["Orders"])).at(Ceiling::None),
            "orders"
        );
        assert_eq!(
            Marked::from(name("erika", &[])).at(Ceiling::None),
            "[a name withheld]"
        );
    }
}
