//! The names of MySQL's and MariaDB's errors, and whose messages may be shown.

/// Whether an error's message may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// It is about tables, columns, logins, locks and limits.
    Shown,
    /// It may quote the data.
    Hidden,
}
use Message::{Hidden, Shown};

/// Errors that a read-only query may meet, by their numbers, in order. Names from 1000 on are those of MySQL's manual,
/// "Server Error Message Reference", and MariaDB's, "MariaDB Error Code Reference" (1900 to 1999, and from 4000 on); below 1000
/// those of the storage engines, in both servers' `include/my_base.h`.
const ERRORS: [(u16, &str, Message); 96] = [
    (126, "HA_ERR_CRASHED", Shown),
    (127, "HA_ERR_WRONG_IN_RECORD", Shown),
    (130, "HA_ERR_NOT_A_TABLE", Shown),
    (144, "HA_ERR_CRASHED_ON_REPAIR", Shown),
    (145, "HA_ERR_CRASHED_ON_USAGE", Shown),
    (175, "HA_ERR_FILE_TOO_SHORT", Shown),
    (176, "HA_ERR_WRONG_CRC", Shown),
    (180, "HA_ERR_INDEX_CORRUPT", Shown),
    (194, "HA_ERR_TABLESPACE_MISSING", Shown),
    (1021, "ER_DISK_FULL", Hidden),
    (1030, "ER_GET_ERRNO", Shown),
    (1033, "ER_NOT_FORM_FILE", Shown),
    (1034, "ER_NOT_KEYFILE", Shown),
    (1035, "ER_OLD_KEYFILE", Shown),
    (1036, "ER_OPEN_AS_READONLY", Hidden),
    (1037, "ER_OUTOFMEMORY", Hidden),
    (1038, "ER_OUT_OF_SORTMEMORY", Hidden),
    (1040, "ER_CON_COUNT_ERROR", Shown),
    (1041, "ER_OUT_OF_RESOURCES", Hidden),
    (1044, "ER_DBACCESS_DENIED_ERROR", Shown),
    (1045, "ER_ACCESS_DENIED_ERROR", Shown),
    (1046, "ER_NO_DB_ERROR", Shown),
    (1047, "ER_UNKNOWN_COM_ERROR", Hidden),
    (1049, "ER_BAD_DB_ERROR", Shown),
    (1052, "ER_NON_UNIQ_ERROR", Shown),
    (1053, "ER_SERVER_SHUTDOWN", Hidden),
    (1054, "ER_BAD_FIELD_ERROR", Shown),
    (1055, "ER_WRONG_FIELD_WITH_GROUP", Shown),
    (1062, "ER_DUP_ENTRY", Hidden),
    (1064, "ER_PARSE_ERROR", Shown),
    (1065, "ER_EMPTY_QUERY", Hidden),
    (1105, "ER_UNKNOWN_ERROR", Hidden),
    (1109, "ER_UNKNOWN_TABLE", Shown),
    (1114, "ER_RECORD_FILE_FULL", Hidden),
    (1115, "ER_UNKNOWN_CHARACTER_SET", Hidden),
    (1119, "ER_STACK_OVERRUN", Hidden),
    (1129, "ER_HOST_IS_BLOCKED", Shown),
    (1130, "ER_HOST_NOT_PRIVILEGED", Shown),
    (1139, "ER_REGEXP_ERROR", Hidden),
    (1140, "ER_MIX_OF_GROUP_FUNC_AND_FIELDS", Shown),
    (1142, "ER_TABLEACCESS_DENIED_ERROR", Shown),
    (1143, "ER_COLUMNACCESS_DENIED_ERROR", Shown),
    (1146, "ER_NO_SUCH_TABLE", Shown),
    (1153, "ER_NET_PACKET_TOO_LARGE", Hidden),
    (1158, "ER_NET_READ_ERROR", Hidden),
    (1159, "ER_NET_READ_INTERRUPTED", Hidden),
    (1160, "ER_NET_ERROR_ON_WRITE", Hidden),
    (1161, "ER_NET_WRITE_INTERRUPTED", Hidden),
    (1194, "ER_CRASHED_ON_USAGE", Shown),
    (1195, "ER_CRASHED_ON_REPAIR", Shown),
    (1203, "ER_TOO_MANY_USER_CONNECTIONS", Shown),
    (1205, "ER_LOCK_WAIT_TIMEOUT", Shown),
    (1213, "ER_LOCK_DEADLOCK", Shown),
    (1222, "ER_WRONG_NUMBER_OF_COLUMNS_IN_SELECT", Shown),
    (1223, "ER_CANT_UPDATE_WITH_READLOCK", Hidden),
    (1226, "ER_USER_LIMIT_REACHED", Shown),
    (1227, "ER_SPECIFIC_ACCESS_DENIED_ERROR", Shown),
    (1235, "ER_NOT_SUPPORTED_YET", Shown),
    (1241, "ER_OPERAND_COLUMNS", Shown),
    (1242, "ER_SUBQUERY_NO_1_ROW", Shown),
    (1251, "ER_NOT_SUPPORTED_AUTH_MODE", Shown),
    (1264, "ER_WARN_DATA_OUT_OF_RANGE", Hidden),
    (1267, "ER_CANT_AGGREGATE_2COLLATIONS", Hidden),
    (1290, "ER_OPTION_PREVENTS_STATEMENT", Shown),
    (1292, "ER_TRUNCATED_WRONG_VALUE", Hidden),
    (1295, "ER_UNSUPPORTED_PS", Shown),
    (1300, "ER_INVALID_CHARACTER_STRING", Hidden),
    (1305, "ER_SP_DOES_NOT_EXIST", Shown),
    (1317, "ER_QUERY_INTERRUPTED", Shown),
    (1356, "ER_VIEW_INVALID", Shown),
    (1365, "ER_DIVISION_BY_ZERO", Hidden),
    (1366, "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD", Hidden),
    (1370, "ER_PROCACCESS_DENIED_ERROR", Shown),
    (1406, "ER_DATA_TOO_LONG", Hidden),
    (1411, "ER_WRONG_VALUE_FOR_TYPE", Hidden),
    (1436, "ER_STACK_OVERRUN_NEED_MORE", Hidden),
    (1449, "ER_NO_SUCH_USER", Shown),
    (1524, "ER_PLUGIN_IS_NOT_LOADED", Shown),
    (1644, "ER_SIGNAL_EXCEPTION", Hidden),
    (1690, "ER_DATA_OUT_OF_RANGE", Hidden),
    (1712, "ER_INDEX_CORRUPT", Shown),
    (1792, "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION", Shown),
    (1812, "ER_TABLESPACE_MISSING", Shown),
    (1820, "ER_MUST_CHANGE_PASSWORD", Shown),
    (1862, "ER_MUST_CHANGE_PASSWORD_LOGIN", Shown),
    (1877, "ER_TABLE_CORRUPT", Shown),
    (1932, "ER_NO_SUCH_TABLE_IN_ENGINE", Shown),
    (1969, "ER_STATEMENT_TIMEOUT", Shown),
    (3024, "ER_QUERY_TIMEOUT", Shown),
    (3118, "ER_ACCOUNT_HAS_BEEN_LOCKED", Shown),
    (3140, "ER_INVALID_JSON_TEXT", Hidden),
    (3141, "ER_INVALID_JSON_TEXT_IN_PARAM", Hidden),
    (3143, "ER_INVALID_JSON_PATH", Hidden),
    (3159, "ER_SECURE_TRANSPORT_REQUIRED", Shown),
    (4038, "ER_JSON_SYNTAX", Hidden),
    (4151, "ER_ACCOUNT_HAS_BEEN_LOCKED", Shown),
];

fn find(code: u16) -> Option<&'static (u16, &'static str, Message)> {
    let index = ERRORS
        .binary_search_by_key(&code, |(code, ..)| *code)
        .ok()?;
    Some(&ERRORS[index])
}

/// Whether the message of this error quotes no data.
pub(super) fn quotes_no_data(code: u16) -> bool {
    find(code).is_some_and(|(.., message)| *message == Shown)
}

/// An error in words, for example `ER_NO_SUCH_TABLE (1146)`.
pub(super) fn in_words(code: u16, state: &str) -> String {
    match find(code) {
        Some((_, name, _)) => format!("{name} ({code})"),
        None => format!("error {code} (SQLSTATE {state})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_order_and_named() {
        assert!(ERRORS.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(in_words(1146, "42S02"), "ER_NO_SUCH_TABLE (1146)");
        assert_eq!(in_words(9999, "HY000"), "error 9999 (SQLSTATE HY000)");
        assert!(quotes_no_data(1142));
        assert!(!quotes_no_data(1292));
        assert!(!quotes_no_data(9999));
    }
}
