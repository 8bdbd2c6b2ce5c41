//! What looks like a credential: it leaves nowhere, whatever the ceiling.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands where a credential was.
const WITHHELD: &str = "[credential withheld]";

/// The characters of a secret access key (AWS, "Access keys": forty of them).
const SECRET_ACCESS_KEY: usize = 40;

/// Each form with its source. What is named `keep` before the credential stays.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // IAM user guide, "IAM identifiers": unique prefixes.
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        // RFC 7468, 10 and 11; also OpenSSH's.
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)",
        // RFC 7519: a JSON object begins with eyJ in base64.
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",
        // RFC 3986, 3.2.1: user:password@ in a URL.
        r"(?P<keep>://[^/\s:@]*:)[^/\s@]+@",
        // RFC 6750 and RFC 7617.
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[a-z0-9+/_.~=-]{16,}",
        // A name and what follows it: settings, forms, JSON, connection strings, signed URLs.
        r#"(?i)(?P<keep>(?:^|[^\w:/.-])(?:[a-z0-9]+[_-])*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key|secret[_-]?key|private[_-]?key|x-amz-signature|x-amz-credential|x-amz-security-token)(?:["']?\s*=\s*["']?|["']\s*:\s*["']?|:["']?))(?P<credential>[^\s"',;&)]+)"#,
        // crypt(5): hashes of passwords; also Argon2 and PBKDF2 in the same form.
        r"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2(?:i|d|id)|scrypt|pbkdf2[a-z0-9-]*)\$[^\s]{8,}",
        // PostgreSQL's manual, "pg_authid": rolpassword.
        r"\bSCRAM-SHA-256\$[^\s]+",
        r"\bmd5[0-9a-f]{32}\b",
        // MySQL's manual, "Native Pluggable Authentication".
        r"\*[0-9A-F]{40}\b",
        // The prefixes that GitHub, GitLab, Slack, Stripe, Google and npm document for their tokens.
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{16,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
        r"\bAIza[0-9A-Za-z_-]{30,}",
        r"\bnpm_[A-Za-z0-9]{30,}",
    ]
    .into_iter()
    .map(|form| Regex::new(form).expect("the forms are written here"))
    .collect()
});

/// A name and what follows it as people write it; in our own sentences a colon follows such a word, too.
static WRITTEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:password|passwd|pwd|passphrase|secret|token|api[ _-]?key)\s*:\s+(\S+)")
        .expect("the form is written here")
});

/// Words without what looks like a credential in them.
pub fn without_credentials(words: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(words);
    for form in FORMS.iter() {
        if form.is_match(&out) {
            out = Cow::Owned(form.replace_all(&out, withheld).into_owned());
        }
    }
    out
}

/// Whether a value, as a whole or in a part, looks like a credential.
pub fn looks_like_credential(value: &str) -> bool {
    // MySQL says of a login that was refused whether a password was used.
    let is_written =
        |found: Captures<'_>| !found[1].starts_with("YES") && !found[1].starts_with("NO");
    is_secret_access_key(value)
        || WRITTEN.captures(value).is_some_and(is_written)
        || without_credentials(value) != value
}

fn withheld(found: &Captures<'_>) -> String {
    let kept = found.name("keep").map_or("", |kept| kept.as_str());
    match found
        .name("credential")
        .map(|credential| credential.as_str())
    {
        // MySQL says so of a login that was refused.
        Some("YES" | "NO") => found[0].to_owned(),
        // Withheld already, and the next form found its name.
        Some(credential) if credential.starts_with("[credential") => found[0].to_owned(),
        _ => format!("{kept}{WITHHELD}"),
    }
}

/// Forty characters of base64 with letters of both cases and digits, and nothing around them. A hash in hexadecimal has not.
fn is_secret_access_key(value: &str) -> bool {
    let has = |of: fn(&u8) -> bool| value.bytes().any(|byte| of(&byte));
    value.len() == SECRET_ACCESS_KEY
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+'))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_withheld_and_what_stands_around_them_is_not() {
        // Put together here, so that no scanner of sources takes them for real.
        for (words, expected) in [
            (
                format!("key {}IOSFODNN7EXAMPLE", "AKIA"),
                "key [credential withheld]",
            ),
            (
                "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b"
                    .to_owned(),
                "a [credential withheld] b",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIE".to_owned(),
                "[credential withheld]",
            ),
            (
                format!("jwt {}hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "eyJ"),
                "jwt [credential withheld]",
            ),
            (
                "postgres://reader:hunter2@host/shop".to_owned(),
                "postgres://reader:[credential withheld]host/shop",
            ),
            (
                "Authorization: Bearer abcdefghijklmnopqrst".to_owned(),
                "Authorization: Bearer [credential withheld]",
            ),
            (
                "host=db password=hunter2 user=x".to_owned(),
                "host=db password=[credential withheld] user=x",
            ),
            (
                "{\"db_password\": \"hunter2\", \"n\": 1}".to_owned(),
                "{\"db_password\": \"[credential withheld]\", \"n\": 1}",
            ),
            (
                "?X-Amz-Signature=0123abcd&x=1".to_owned(),
                "?X-Amz-Signature=[credential withheld]&x=1",
            ),
            (
                format!("hash {}12$R9h/cIPz0gi.URNNX3kh2OPST9", "$2b$"),
                "hash [credential withheld]",
            ),
            (
                "SCRAM-SHA-256$4096:salt$stored:server".to_owned(),
                "[credential withheld]",
            ),
            (
                format!("md5{}", "0123456789abcdef".repeat(2)),
                "[credential withheld]",
            ),
            (
                format!("*{}", "0123456789ABCDEF0123".repeat(2)),
                "[credential withheld]",
            ),
            (
                format!("{}_{}", "ghp", "a1B2".repeat(9)),
                "[credential withheld]",
            ),
            (
                format!("{}-1234567890-abc", "xoxb"),
                "[credential withheld]",
            ),
            (
                format!("{}_live_{}", "sk", "a1B2".repeat(5)),
                "[credential withheld]",
            ),
        ] {
            assert_eq!(without_credentials(&words), expected, "{words}");
            assert!(looks_like_credential(&words), "{words}");
        }
        assert!(looks_like_credential(&format!(
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCY{}",
            "EXAMPLEKEY"
        )));
    }

    #[test]
    fn what_people_write_is_a_value_but_no_sentence_of_ours() {
        let words = "RDS refuses to set a master password: InvalidParameterValue";
        assert_eq!(without_credentials(words), words);
        assert!(looks_like_credential("user: reader\npassword: hunter2"));
    }

    #[test]
    fn what_is_no_credential_stays() {
        for words in [
            "",
            "12000",
            "2026-11-21 06:00:00+00",
            "relation \"orders\" does not exist: undefined_table (42P01)",
            "Access denied for user 'reader'@'10.0.0.7' (using password: YES): ER_ACCESS_DENIED_ERROR (1045)",
            "password authentication failed for user \"reader\": invalid_password (28P01)",
            "the secret restore-proof/orders could not be read: secretsmanager:GetSecretValue: AccessDeniedException",
            "a login by a token of IAM needs both",
            "the secret arn:aws:secretsmanager:eu-central-1:111122223333:secret:restore-proof/orders-AbCdEf could not be read",
            "step \"/oauth/token\": status 500; expected: status 200",
            "the password is set anew",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "s3://records/restore-proof/records/year=2026/month=11/day=21/abc.json",
            "arn:aws:backup:eu-central-1:111122223333:recovery-point:8DF2A0B1-0001-4E6A-9C3D-0123456789AB",
        ] {
            assert_eq!(without_credentials(words), words);
            assert!(!looks_like_credential(words), "{words}");
        }
    }
}
