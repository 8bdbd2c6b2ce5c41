//! What people were told of, as the ledger remembers it.

use futures_util::FutureExt;
use jiff::Timestamp;

use super::{Ledger, REMEMBERED, n, s};
use crate::aws::failed;
use crate::failure;

impl Ledger {
    /// Whether people were told of this.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn was_told_of(&self, what: &str) -> failure::Result<bool> {
        Ok(self.get(&told_key(what)).await?.is_some())
    }

    /// Remembers that people were told of this.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn remember_told_of(&self, what: &str, now: Timestamp) -> failure::Result<()> {
        self.client
            .put_item()
            .table_name(&self.table)
            .item("id", s(&told_key(what)))
            .item("expires_at", n((now + REMEMBERED).as_second()))
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:PutItem"))?;
        Ok(())
    }
}

fn told_key(what: &str) -> String {
    format!("told#{what}")
}
