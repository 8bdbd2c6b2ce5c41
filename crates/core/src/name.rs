//! Names of what is restored. They are a namespace of their own, `<prefix>-r-…`, in which IAM lets the function change and
//! delete: nothing that the stack keeps lies in it, and nothing of another stack.

/// The longest prefix. RDS takes 63 characters; the rest of a name takes 25 while attempts have one digit, 33 at most.
pub const LONGEST_PREFIX: usize = 30;

/// What a prefix must be like, in words.
pub const PREFIX_RULE: &str = "at most 30 lower-case letters, digits and single hyphens, a letter first, without -r- in it \
     or -r at its end, where names of what is restored begin";

/// Returns whether a stack may have this prefix.
///
/// With `-r` at its end or `-r-` in it, it would lie in the namespace of the prefix before that: the stack of
/// `restore-proof` could delete what `restore-proof-r-2` keeps.
pub fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= LONGEST_PREFIX
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !prefix.contains("--")
        && !prefix.ends_with('-')
        && !prefix.ends_with("-r")
        && !prefix.contains("-r-")
}

/// The name of what an attempt of a validation restores, `<prefix>-r-<validation>-<attempt>`: at most 63 lower-case
/// letters, digits and single hyphens, a letter first, which every type takes whose restore takes a name.
pub fn target_name(prefix: &str, validation: &str, attempt: u32) -> String {
    format!("{prefix}-r-{validation}-{attempt}")
}

/// The validation's id in a name that [`target_name`] made; none if it is no such name.
pub fn validation_named<'n>(prefix: &str, name: &'n str) -> Option<&'n str> {
    let (id, attempt) = name
        .strip_prefix(prefix)?
        .strip_prefix("-r-")?
        .split_once('-')?;
    let is_id = id.len() == 20 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let is_attempt = !attempt.is_empty() && attempt.bytes().all(|b| b.is_ascii_digit());
    (is_id && is_attempt).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123";

    #[test]
    fn rds_takes_the_longest_name() {
        let longest = "p".repeat(LONGEST_PREFIX);
        assert!(is_prefix(&longest));
        assert_eq!(target_name("rp", ID, 2), format!("rp-r-{ID}-2"));
        // An attempt with ten digits would be one too long, and takes a century of restores.
        assert_eq!(target_name(&longest, ID, 999_999_999).len(), 63);
    }

    #[test]
    fn a_prefix_lies_in_no_other_ones_namespace() {
        for good in [
            "rp",
            "restore-proof",
            "restore-proof-2",
            "r",
            "a-rr",
            "a-rr-b",
            "ar-b",
        ] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in [
            "",
            "restore-proof-r",
            "restore-proof-r-2",
            "a-r-b",
            "a-r",
            "Restore",
            "restore_proof",
            "a--b",
            "a-",
            "1a",
            "-a",
            &"p".repeat(LONGEST_PREFIX + 1),
        ] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }

    #[test]
    fn only_names_of_ours_tell_a_validation() {
        let name = target_name("restore-proof", ID, 12);
        assert_eq!(validation_named("restore-proof", &name), Some(ID));
        for other in [
            format!("restore-proof-{ID}-12"),
            format!("restore-proof-r-{ID}"),
            format!("restore-proof-r-{ID}-"),
            format!("restore-proof-r-{ID}-1-2"),
            format!("restore-proof-r-{}-1", &ID[1..]),
            target_name("restore-proof2", ID, 1),
            target_name("restore-proof-2", ID, 1),
            "orders".to_owned(),
        ] {
            assert_eq!(validation_named("restore-proof", &other), None, "{other}");
        }
    }
}
