//! Lambda: Invoke, asynchronous or as a dry run (restJson1).

use crate::wire::{Reply, Request, ServiceError};
use crate::world::state::{Effect, State};

use super::Answer;

/// Largest payload of an asynchronous invocation, bytes (Lambda quotas).
const LARGEST_PAYLOAD: usize = 1_048_576;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    if request.operation != "Invoke" {
        return Err(ServiceError::not_played(request));
    }
    let kind = request
        .header("x-amz-invocation-type")
        .unwrap_or("RequestResponse");
    if !matches!(kind, "Event" | "DryRun") {
        let message = format!(
            "local-aws does not play lambda:Invoke with InvocationType {kind}, only Event and DryRun"
        );
        return Err(ServiceError::new("NotImplemented", 501, &message));
    }
    let given = request.path.get(2).map(String::as_str).unwrap_or_default();
    // Name, ARN or partial ARN, each perhaps with a qualifier.
    let name = given
        .rsplit_once("function:")
        .map_or(given, |(_, name)| name);
    let name = name.split(':').next().unwrap_or(name).to_owned();
    if !state.functions.is_empty() && !state.functions.contains(&name) {
        let arn = format!(
            "arn:aws:lambda:{}:{}:function:{name}",
            state.options.region, state.options.account
        );
        let message = format!("Function not found: {arn}");
        return Err(ServiceError::new(
            "ResourceNotFoundException",
            404,
            &message,
        ));
    }
    if request.body.len() > LARGEST_PAYLOAD {
        let message = format!(
            "Request must be smaller than {LARGEST_PAYLOAD} bytes for the InvokeFunction operation"
        );
        return Err(ServiceError::new("RequestTooLargeException", 413, &message));
    }
    let body: &[u8] = if request.body.is_empty() {
        b"{}"
    } else {
        &request.body
    };
    let payload = serde_json::from_slice(body).map_err(|error| {
        let message = format!("Could not parse request body into json: {error}");
        ServiceError::new("InvalidRequestContentException", 400, &message)
    })?;
    // "Validate parameter values and verify that the user or role has permission" (Invoke, API reference): 204.
    if kind == "DryRun" {
        return Ok(Reply::empty(204));
    }
    state.outbox.push(Effect::Invoke(name, payload));
    Ok(Reply::empty(202))
}
