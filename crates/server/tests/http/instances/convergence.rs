//! P3 and W8 on two instances, while the database crashes and an instance is killed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mosaic_testkit::postgres::{Cluster, ClusterOptions, Template, TestDatabase};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::harness::{Client, Data, Server};
use crate::instances::ledger::{Ledger, Records};
use crate::instances::puller::Puller;
use crate::instances::support::{AT_REST, new_users, start, start_in_background, until};
use crate::instances::writer::Writer;

const INSTANCES: usize = 2;
/// On each instance.
const WRITERS: usize = 8;
/// On each instance. Together they follow every user.
const PULLERS: usize = 4;
const USERS: usize = 20;
/// How long is written.
const RUN: Duration = Duration::from_mins(1);
/// What happens, and at which second of the run.
const FAULTS: [(u64, Fault); 4] = [
    (10, Fault::Database),
    (22, Fault::Database),
    (32, Fault::Instance),
    (47, Fault::Database),
];
/// How long the killed instance stays away.
const AWAY: Duration = Duration::from_secs(5);
/// How long writers and pullers may take to finish what they have begun.
const FINISH: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The database is stopped as in a crash, and started again.
    Database,
    /// The second instance is killed, and another one takes its place.
    Instance,
}

/// One of the instances; another process over time.
pub struct Instance {
    server: Mutex<Option<Server>>,
    url: Mutex<String>,
    /// How many writes it acknowledged.
    pub acknowledged: AtomicUsize,
}

impl Instance {
    fn new(server: Server) -> Self {
        Self {
            url: Mutex::new(server.url.clone()),
            server: Mutex::new(Some(server)),
            acknowledged: AtomicUsize::new(0),
        }
    }

    /// Where it is at the moment.
    pub fn url(&self) -> String {
        self.url.lock().unwrap().clone()
    }

    fn kill(&self) -> Data {
        let server = self.server.lock().unwrap().take();
        server.expect("an instance").kill()
    }

    fn replace(&self, server: Server) {
        self.url.lock().unwrap().clone_from(&server.url);
        *self.server.lock().unwrap() = Some(server);
    }
}

/// What all writers and pullers share.
pub struct Scene {
    instances: [Instance; INSTANCES],
    /// A login of each user.
    pub users: Vec<Client>,
    /// Whether writers and pullers are to stop.
    pub is_over: AtomicBool,
}

impl Scene {
    async fn new(url: &str) -> Arc<Self> {
        let data = Data::new();
        let servers = [(); INSTANCES].map(|()| start(&data, url, &[]));
        let users = new_users(&servers[0], USERS).await;
        Arc::new(Self {
            instances: servers.map(Instance::new),
            users,
            is_over: AtomicBool::new(false),
        })
    }

    /// The instance of a writer or puller.
    pub fn instance_of(&self, number: usize) -> &Instance {
        &self.instances[number % INSTANCES]
    }

    /// Lets all faults happen, each one while both instances work, and ends the run.
    async fn let_happen(&self, cluster: &Cluster, url: &str) {
        let begin = Instant::now();
        let mut before = [0; INSTANCES];
        for (second, fault) in FAULTS {
            sleep_until(begin + Duration::from_secs(second)).await;
            self.assert_progress(&mut before);
            match fault {
                Fault::Database => cluster.restart_immediate().await,
                Fault::Instance => {
                    let data = self.instances[1].kill();
                    sleep_until(Instant::now() + AWAY).await;
                    self.instances[1].replace(start_in_background(&data, url).await);
                }
            }
            before = self.acknowledged();
        }
        sleep_until(begin + RUN).await;
        self.assert_progress(&mut before);
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn acknowledged(&self) -> [usize; INSTANCES] {
        [0, 1].map(|at| self.instance_of(at).acknowledged.load(Ordering::SeqCst))
    }

    /// Asserts that every instance has acknowledged writes since the last fault: it went on by itself.
    fn assert_progress(&self, before: &mut [usize; INSTANCES]) {
        let now = self.acknowledged();
        assert!(
            now.iter().zip(&*before).all(|(now, before)| now > before),
            "an instance stands still: {before:?}, {now:?}"
        );
        *before = now;
    }

    /// What is stored of each user, as a fresh device gets it from the instance that was never killed.
    async fn stored(&self) -> Vec<Records> {
        let mut stored = Vec::new();
        for user in &self.users {
            stored.push(user.everything().await.records);
        }
        stored
    }
}

async fn all_of<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut done = Vec::new();
    for task in tasks {
        let ended = timeout(FINISH, task).await.expect("it comes to an end");
        done.push(ended.expect("it succeeds"));
    }
    done
}

fn start_writers(scene: &Arc<Scene>) -> Vec<JoinHandle<Writer>> {
    let writers = 0..INSTANCES * WRITERS;
    writers
        .map(|number| tokio::spawn(Writer::new(scene, number).run()))
        .collect()
}

/// Each instance has a puller for every user.
fn start_pullers(scene: &Arc<Scene>) -> Vec<JoinHandle<Puller>> {
    let pullers = 0..INSTANCES * PULLERS;
    pullers
        .map(|number| {
            let users = (number / INSTANCES..USERS).step_by(PULLERS);
            tokio::spawn(Puller::new(scene, number, users).run())
        })
        .collect()
}

/// What all writers had acknowledged, by user.
fn ledgers_of(writers: impl IntoIterator<Item = Writer>) -> Vec<Ledger> {
    let mut ledgers = vec![Ledger::default(); USERS];
    for writer in writers {
        for (ledger, of_writer) in ledgers.iter_mut().zip(writer.ledgers) {
            ledger.merge(of_writer);
        }
    }
    ledgers
}

/// Asserts that every puller has exactly what is stored, and that this is exactly what was acknowledged.
async fn assert_converged(pullers: &mut [Puller], ledgers: &[Ledger], scene: &Scene) -> usize {
    let stored = scene.stored().await;
    for puller in pullers {
        puller.catch_up().await;
        for known in &puller.known {
            assert!(known.records == stored[known.user], "user {}", known.user);
        }
    }
    for (user, (ledger, stored)) in ledgers.iter().zip(&stored).enumerate() {
        ledger.assert_stored(user, stored);
    }
    stored.iter().map(Records::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_two_instances_and_every_puller_ends_with_what_is_stored_whatever_is_killed() {
    let cluster = Cluster::start(ClusterOptions::durable()).await;
    let database = TestDatabase::create_on(cluster.server(), &Template::empty()).await;
    let scene = Scene::new(&database.url()).await;
    let mut first = Writer::new(&scene, INSTANCES * WRITERS);
    first.write_shared().await;

    let (writers, pullers) = (start_writers(&scene), start_pullers(&scene));
    scene.let_happen(&cluster, &database.url()).await;
    let (mut writers, mut pullers) = (all_of(writers).await, all_of(pullers).await);

    let sum = |count: fn(&Writer) -> usize| writers.iter().map(count).sum::<usize>();
    let (acknowledged, retries) = (sum(|w| w.acknowledged), sum(|w| w.retries));
    let pulls: usize = pullers.iter().map(|puller| puller.pulls).sum();
    let pull_retries: usize = pullers.iter().map(|puller| puller.retries).sum();
    writers.push(first);
    let records = assert_converged(&mut pullers, &ledgers_of(writers), &scene).await;
    until(&database, AT_REST).await;
    println!(
        "{acknowledged} writes acknowledged ({:?} by instance), {retries} sent again; {pulls} pulls, {pull_retries} \
         sent again; {records} live records",
        scene.acknowledged()
    );
    assert!(retries > 0, "no fault was felt");
}
