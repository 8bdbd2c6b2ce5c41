//! What the watcher asks the ledger, and what it remembers in it.

use aws_sdk_dynamodb::types::Select;
use jiff::Timestamp;

use super::slots::waiting_partition;
use super::{DUE_INDEX, Ledger, LedgerError, OPEN, REMEMBERED, n, s};
use crate::aws::failed;

impl Ledger {
    /// How many validations are due at `at` or before; those that wait for a slot are not among them. One page of the
    /// index is counted: of very many, so many at least (DynamoDB reads 1 MB, some ten thousand).
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn count_due(&self, at: Timestamp) -> Result<u32, LedgerError> {
        self.count(OPEN, at).await
    }

    /// How many validations of a type (by AWS Backup's name) wait for a slot, counted likewise.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn count_waiting(&self, resource_type: &str) -> Result<u32, LedgerError> {
        let partition = waiting_partition(resource_type);
        self.count(&partition, Timestamp::MAX).await
    }

    async fn count(&self, partition: &str, at: Timestamp) -> Result<u32, LedgerError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("#partition = :partition AND #due <= :at")
            .expression_attribute_names("#partition", "due_partition")
            .expression_attribute_names("#due", "due_at")
            .expression_attribute_values(":partition", s(partition))
            .expression_attribute_values(":at", n(at.as_second()))
            .select(Select::Count)
            .send()
            .await
            .map_err(failed("dynamodb:Query"))?;
        Ok(u32::try_from(answer.count()).unwrap_or_default())
    }

    /// Whether people were told of this.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn was_told_of(&self, what: &str) -> Result<bool, LedgerError> {
        Ok(self.get(&told_key(what)).await?.is_some())
    }

    /// Remembers that people were told of this.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn remember_told_of(&self, what: &str, now: Timestamp) -> Result<(), LedgerError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .item("id", s(&told_key(what)))
            .item("expires_at", n((now + REMEMBERED).as_second()))
            .send()
            .await
            .map_err(failed("dynamodb:PutItem"))?;
        Ok(())
    }
}

fn told_key(what: &str) -> String {
    format!("told#{what}")
}
