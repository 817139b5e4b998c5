//! Whose turn it is.

use super::*;

/// The jobs in the order in which they were carried out, with the commit that each belongs to.
#[derive(Clone)]
struct Order {
    commits: Arc<AtomicUsize>,
    jobs: Arc<std::sync::Mutex<Vec<(&'static str, usize)>>>,
}

impl Order {
    async fn of(writer: &Writer) -> Self {
        Self {
            commits: count_commits(writer).await,
            jobs: Arc::default(),
        }
    }

    fn job(&self, name: &'static str) -> impl FnOnce(&Connection) -> Result<WritePlan, Failure> + use<> {
        let order = self.clone();
        move |_| {
            let commits = order.commits.load(Ordering::SeqCst);
            order.jobs.lock().unwrap().push((name, commits));
            Ok(plan(1))
        }
    }

    fn jobs(&self) -> Vec<(&'static str, usize)> {
        self.jobs.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn users_take_turns_whoever_sent_more_before() {
    let writer = start(SETTINGS);
    let order = Order::of(&writer).await;
    let (release, busy) = hold(&writer).await;
    let write = |of, name| writer.write(user(of), 0, order.job(name));
    let (a1, a2, a3, b1, c1, b2, ()) = tokio::join!(
        write(1, "a1"),
        write(1, "a2"),
        write(1, "a3"),
        write(2, "b1"),
        write(3, "c1"),
        write(2, "b2"),
        async move { release.send(()).unwrap() },
    );
    busy.await.unwrap();
    assert!([a1, a2, a3, b1, c1, b2].iter().all(Result::is_ok));
    let names: Vec<_> = order.jobs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a1", "b1", "c1", "a2", "b2", "a3"]);
}

#[tokio::test]
async fn a_large_job_has_a_commit_of_its_own_and_others_get_in_between() {
    let writer = start(SETTINGS);
    let order = Order::of(&writer).await;
    let (release, busy) = hold(&writer).await;
    let large = |name| writer.write(user(1), LARGE, order.job(name));
    let small = |name| writer.write(user(2), LARGE - 1, order.job(name));
    let (a1, a2, b1, b2, b3, ()) = tokio::join!(
        large("a1"),
        large("a2"),
        small("b1"),
        small("b2"),
        small("b3"),
        async move { release.send(()).unwrap() },
    );
    busy.await.unwrap();
    assert!([a1, a2, b1, b2, b3].iter().all(Result::is_ok));
    let first = HELD;
    assert_eq!(
        order.jobs(),
        [
            ("a1", first),
            ("b1", first + 1),
            ("a2", first + 2),
            ("b2", first + 3),
            ("b3", first + 3)
        ]
    );
}

#[tokio::test]
async fn one_user_fills_a_part_of_the_queue_and_others_get_in() {
    let writer = start(WriterSettings {
        queue_max: 3,
        queue_max_per_user: 2,
        ..SETTINGS
    });
    let order = Order::of(&writer).await;
    let (release, busy) = hold(&writer).await;
    let write = |of, name| writer.write(user(of), 0, order.job(name));
    let (a1, a2, a3, b1, c1, ()) = tokio::join!(
        write(1, "a1"),
        write(1, "a2"),
        write(1, "a3"),
        write(2, "b1"),
        write(3, "c1"),
        async move { release.send(()).unwrap() },
    );
    busy.await.unwrap();
    assert!(a1.is_ok() && a2.is_ok() && b1.is_ok());
    assert!(matches!(a3, Err(Failure::Unavailable(_))), "{a3:?}");
    assert!(matches!(c1, Err(Failure::Unavailable(_))), "{c1:?}");
    // There is room again for everybody.
    assert!(write(1, "a4").await.is_ok());
}

#[tokio::test]
async fn a_job_that_waited_for_too_long_is_told_so_and_not_carried_out() {
    let writer = start(WriterSettings {
        queue_timeout: Duration::ZERO,
        ..SETTINGS
    });
    let late = writer.run(insert(1)).await;
    assert!(matches!(late, Err(Failure::Unavailable(_))), "{late:?}");
    writer.close().await;
}
