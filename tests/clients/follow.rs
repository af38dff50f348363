//! Prices with the crate `eventsource-client`, which comes back by itself.

use std::error::Error;
use std::time::Duration;

use eventsource_client::{Client as _, ClientBuilder, Error as ClientError, Event, ReconnectOptions, SSE};
use futures_util::StreamExt as _;
use launchdarkly_sdk_transport::HyperTransport;

/// Calls `tell` for each event of a stream, and returns once it is refused for good.
pub async fn follow_prices(
    url: &str,
    mut tell: impl FnMut(Event),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // The service is silent for 15 s at most: after 45 s the line is dead.
    let transport = HyperTransport::builder().read_timeout(Duration::from_secs(45)).build_http()?;
    let reconnect = ReconnectOptions::reconnect(true).retry_initial(true).build();
    let client = ClientBuilder::for_url(url)?.reconnect(reconnect).build_with_transport(transport);
    let mut stream = client.stream();
    while let Some(next) = stream.next().await {
        match next {
            Ok(SSE::Event(event)) => tell(event),
            Err(ClientError::UnexpectedResponse(answer, _))
                if matches!(answer.status(), 400 | 401 | 403 | 404) =>
            {
                return Err(format!("status {}", answer.status()).into());
            }
            // Open, a comment, or an end after which it comes back: no reason to leave.
            Ok(SSE::Connected(_) | SSE::Comment(_)) | Err(_) => {}
        }
    }
    Ok(())
}
