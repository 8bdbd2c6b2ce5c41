//! Links into the AWS console.

/// A link that opens an object in the S3 console; none where the partition's console is not known.
///
/// No presigned link: one that the function makes ends with the session of its role, and until then opens the object to
/// whoever gets hold of it.
pub fn object(partition: &str, region: &str, bucket: &str, key: &str) -> Option<String> {
    // Neither a bucket's name nor our keys hold anything that a URL would have otherwise.
    let console = match partition {
        "aws" => "console.aws.amazon.com",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => return None,
    };
    Some(format!(
        "https://{console}/s3/object/{bucket}?region={region}&prefix={key}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_a_console_of_its_own() {
        let link = |partition| object(partition, "us-gov-west-1", "b", "k");
        assert_eq!(
            link("aws-us-gov").as_deref(),
            Some("https://console.amazonaws-us-gov.com/s3/object/b?region=us-gov-west-1&prefix=k")
        );
        assert_eq!(link("aws-iso"), None);
    }
}
