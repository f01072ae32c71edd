//! Waiting for what others tell, as part of work that is ended from outside.

use tokio::sync::watch;

use crate::leader::Leadership;

/// Waits until something is told; for ever if there will be nothing.
pub(crate) async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Waits until this replica leads, or leads no more; for ever if that will never be.
pub(crate) async fn until(leading: &mut Leadership, wanted: bool) {
    if leading.wait_for(|leads| *leads == wanted).await.is_err() {
        std::future::pending().await
    }
}
