//! Events: tells users what is wrong with an object, and which Ingresses are served, where `kubectl describe` shows it.
//!
//! The leader writes them, never more than ten a second, and nobody waits for it. What is wrong is said when it is new,
//! again when its object was changed and is still wrong, and every half hour as long as it lasts, since the API server
//! forgets Events after an hour. After a restart an Event that is there already is left as it is.

mod counts;
mod limit;
mod news;
mod note;
mod queue;
mod recent;
mod recorder;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use portcullis_translate::ObjectKey;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

pub use counts::Counts;

use crate::leader::Leadership;
use crate::reconcile::Published;
use crate::source::cluster::References;
use crate::waiting::{changed, until};
use news::{News, Subjects};
use queue::Queue;
use recorder::Recorder;

/// How often what is still wrong is said again.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// In so many parts, so that not all is said at the same time.
const PARTS: u32 = 30;

/// What changes together is looked at together.
const TOGETHER: Duration = Duration::from_millis(50);

/// What is told.
#[derive(Clone)]
pub struct Config {
    /// Whether it is told that an Ingress is served: without `--disable-sync-events`.
    pub sync: bool,
    /// ConfigMaps with settings of the controller: `--configmap` and those of TCP and UDP services.
    pub config_maps: Vec<ObjectKey>,
    /// Name of the Pod that tells; empty outside of one.
    pub instance: String,
    /// Which objects there are.
    pub references: Arc<References>,
}

impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sync, config_maps, instance, references: _ } = self;
        let mut out = out.debug_struct("Config");
        out.field("sync", sync).field("config_maps", config_maps).field("instance", instance).finish_non_exhaustive()
    }
}

/// Writes Events.
pub struct Events {
    news: News,
    recorder: Recorder,
    counts: Arc<Counts>,
    published: watch::Receiver<Arc<Published>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Events").field("news", &self.news).finish_non_exhaustive()
    }
}

impl Events {
    /// About what is `published`.
    #[must_use]
    pub fn new(
        client: Client,
        config: Config,
        counts: Arc<Counts>,
        published: watch::Receiver<Arc<Published>>,
    ) -> Self {
        let Config { sync, config_maps, instance, references } = config;
        let news = News::new(references, Subjects { sync, config_maps });
        let recorder = Recorder::new(client, instance, counts.clone());
        Self { news, recorder, counts, published }
    }

    /// Writes as long as it leads, until it is dropped.
    pub async fn run(mut self, mut leading: Leadership) {
        loop {
            self.follow(&mut leading).await;
            self.lead(&mut leading).await;
        }
    }

    /// Until it leads.
    async fn follow(&mut self, leading: &mut Leadership) {
        let mut published = self.published.clone();
        loop {
            self.news.follow(&published.borrow_and_update());
            tokio::select! {
                () = until(leading, true) => return,
                () = changed(&mut published) => sleep(TOGETHER).await,
            }
        }
    }

    /// As long as it leads. What waits then is left to the next leader.
    async fn lead(&mut self, leading: &mut Leadership) {
        let queue = Queue::new(self.counts.clone());
        tokio::select! {
            () = until(leading, false) => {}
            () = tell(&mut self.news, self.published.clone(), &queue) => {}
            () = self.recorder.run(&queue) => {}
        }
    }
}

/// Hands over what there is to tell.
async fn tell(news: &mut News, mut published: watch::Receiver<Arc<Published>>, queue: &Queue) {
    let every = AGAIN / PARTS;
    let mut again = interval_at(Instant::now() + every, every);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut parts = (0..PARTS as usize).cycle();
    loop {
        let latest = published.borrow_and_update().clone();
        news.tell(&latest).into_iter().for_each(|note| queue.push(note));
        tokio::select! {
            () = changed(&mut published) => sleep(TOGETHER).await,
            _ = again.tick() => {
                let part = parts.next().unwrap_or_default();
                news.still_holding(&latest, part, PARTS as usize).into_iter().for_each(|note| queue.push(note));
            }
        }
    }
}

#[cfg(test)]
mod tests;
