//! How many pictures are decoded at once, and what becomes of those that nobody waits for.

use super::*;

fn scaler(megapixels_at_once: u64, cores: usize) -> PictureScaler {
    let settings = PictureSettings {
        max_pixels: 100 * MEGAPIXEL,
        pixels_at_once: megapixels_at_once * MEGAPIXEL,
    };
    PictureScaler::with_cores(settings, cores)
}

#[test]
fn pictures_are_made_off_the_async_workers() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let scaler = scaler(10, 1);
        // The one thread for such work is taken: only the async worker itself could be done at once.
        let (free, is_free) = mpsc::channel();
        let busy = task::spawn_blocking(move || is_free.recv());
        let file = Bytes::from(png(quarters(640, 480), &Metadata::default()));
        let mut small = scaler.smaller(file, 320);
        let first_poll = timeout(Duration::ZERO, &mut small).await;
        assert!(first_poll.is_err(), "the only worker would have waited for it");
        free.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert_eq!(small.await.unwrap().mime_type.as_str(), "image/jpeg");
        assert_eq!(scaler.megapixels.available_permits(), 10);
    });
}

#[tokio::test]
async fn two_large_pictures_are_not_decoded_at_once() {
    let scaler = scaler(10, 8);
    let (begun, has_begun) = mpsc::channel();
    let (finish, may_finish) = mpsc::channel();
    let also_begun = begun.clone();
    let mut first = Box::pin(scaler.with_memory(6 * MEGAPIXEL, move || {
        begun.send("first").unwrap();
        may_finish.recv().unwrap();
        begun.send("first is done").unwrap();
        Ok(1)
    }));
    let mut second = Box::pin(scaler.with_memory(6 * MEGAPIXEL, move || {
        also_begun.send("second").unwrap();
        Ok(2)
    }));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err());
    assert_eq!(has_begun.recv().unwrap(), "first");
    assert!(timeout(Duration::ZERO, &mut second).await.is_err(), "it waits");
    assert!(has_begun.try_recv().is_err());

    finish.send(()).unwrap();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 2));
    assert_eq!(has_begun.iter().collect::<Vec<_>>(), ["first is done", "second"]);
    assert_eq!(scaler.megapixels.available_permits(), 10);
}

#[tokio::test]
async fn pictures_that_fit_are_decoded_beside_each_other() {
    let scaler = scaler(10, 8);
    let (here, there) = mpsc::channel();
    let (back, forth) = mpsc::channel();
    let one = scaler.with_memory(6 * MEGAPIXEL, move || {
        here.send(()).unwrap();
        forth.recv().unwrap();
        Ok(())
    });
    let other = scaler.with_memory(4 * MEGAPIXEL, move || {
        back.send(()).unwrap();
        there.recv().unwrap();
        Ok(())
    });
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() && other.is_ok(), "each waited for the other");
}

#[tokio::test]
async fn a_picture_that_is_larger_than_all_memory_for_them_is_decoded_alone() {
    let scaler = scaler(10, 1);
    let all = Arc::clone(&scaler.megapixels);
    let left = scaler
        .with_memory(90 * MEGAPIXEL, move || Ok(all.available_permits()))
        .await;
    assert_eq!(left.unwrap(), 0);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_free_the_memory_that_is_still_in_use() {
    let scaler = scaler(10, 1);
    let (finish, may_finish) = mpsc::channel::<()>();
    let mut given_up = Box::pin(scaler.with_memory(10 * MEGAPIXEL, move || {
        let _ = may_finish.recv();
        Ok(())
    }));
    assert!(timeout(Duration::ZERO, &mut given_up).await.is_err());
    drop(given_up);
    assert_eq!(scaler.megapixels.available_permits(), 0);
    finish.send(()).unwrap();
    let freed = timeout(Duration::from_mins(1), scaler.megapixels.acquire_many(10)).await;
    assert!(freed.unwrap().is_ok(), "and it is free once the work is done");
}

#[tokio::test]
async fn who_gives_up_while_waiting_leaves_nothing_locked() {
    let scaler = scaler(10, 1);
    let busy = scaler.megapixels.acquire_many(10).await.unwrap();
    let mut waiting = Box::pin(scaler.with_memory(MEGAPIXEL, || Ok(())));
    assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
    drop(waiting);
    drop(busy);
    assert_eq!(scaler.megapixels.available_permits(), 10);
    assert!(scaler.with_memory(10 * MEGAPIXEL, || Ok(())).await.is_ok());
}

#[tokio::test]
async fn a_decoder_that_panics_says_that_the_picture_is_unreadable() {
    let scaler = scaler(10, 1);
    let outcome: Result<(), _> = scaler.with_memory(MEGAPIXEL, || panic!("as a bug would")).await;
    assert!(matches!(outcome, Err(PictureError::Unreadable(_))));
    assert_eq!(scaler.megapixels.available_permits(), 10);
    assert_eq!(scaler.cores.available_permits(), 1);
}
