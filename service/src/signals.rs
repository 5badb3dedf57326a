//! How a service learns that it must end, tells its tasks, and keeps the service manager informed.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// One switch that all tasks of a service watch. It goes one way: once triggered it stays so.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Resolves once triggered, at once if it already is. Cancel-safe.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }

    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// SIGHUP, which asks a service to read its files again. From the first of these on it does not end the process any more.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    heard: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Within a runtime. Where no handler can be installed, none is ever heard.
    pub fn listen() -> Self {
        Self {
            #[cfg(unix)]
            heard: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Resolves on the next one; several that came meanwhile are one. Cancel-safe.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(heard) = &mut self.heard
            && heard.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Resolves on SIGTERM or SIGINT. Where a handler cannot be installed, the other one still counts.
pub async fn termination() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                () = interrupt() => {}
            },
            Err(_) => interrupt().await,
        }
    }
    #[cfg(not(unix))]
    interrupt().await;
}

/// Without a handler the default action of SIGINT ends the process anyway, so waiting for ever is right then.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tells systemd (`Type=notify`) that the service is ready. Without `NOTIFY_SOCKET` it does nothing.
pub fn notify_ready() {
    notify(NotifyState::Ready);
}

/// Tells systemd that the service reads its files again; [`notify_ready`] ends that.
pub fn notify_reloading() {
    // `Type=notify-reload` waits for an answer that is newer than its signal.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify_all(&[NotifyState::Reloading, now]),
        Err(_) => notify(NotifyState::Reloading),
    }
}

/// Tells systemd that the service is draining.
pub fn notify_stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    notify_all(&[state]);
}

fn notify_all(states: &[NotifyState<'_>]) {
    // A service manager that cannot be reached is no reason to stop moving readings.
    let _unreachable = sd_notify::notify(states);
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn a_clone_hears_the_trigger_and_late_waiters_return_at_once() {
        let shutdown = Shutdown::new();
        let watcher = shutdown.clone();
        let waiting = tokio::spawn(async move { watcher.wait().await });
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        waiting.await.expect("the waiting task ends");
        shutdown.wait().await;
        assert!(shutdown.is_triggered());
    }
}
