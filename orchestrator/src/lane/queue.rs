//! The queue before a lane. Each definition has a part of it, and the parts take turns.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::admission::Class;

/// A queue with so many parts, each with room for so many.
pub(crate) fn queue<T>(classes: usize, most: usize) -> (Sender<T>, Receiver<T>) {
    let parts = Parts {
        of: (0..classes.max(1)).map(|_| VecDeque::new()).collect(),
        next: 0,
        closed: false,
        abandoned: false,
    };
    let shared = Arc::new(Shared {
        parts: Mutex::new(parts),
        most,
        filled: Notify::new(),
        room: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Where items go in. The queue ends when it is dropped.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Where they come out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    parts: Mutex<Parts<T>>,
    most: usize,
    filled: Notify,
    room: Notify,
}

struct Parts<T> {
    of: Vec<VecDeque<T>>,
    /// The part that comes first next time.
    next: usize,
    closed: bool,
    abandoned: bool,
}

impl<T> Shared<T> {
    fn parts(&self) -> MutexGuard<'_, Parts<T>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Waits while its part is full. Gives the item back when nobody takes any more.
    pub(crate) async fn send(&self, class: Class, mut item: T) -> Result<(), T> {
        loop {
            let room = self.0.room.notified();
            item = match self.try_send(class, item, self.0.most) {
                Err(item) if self.0.parts().abandoned => return Err(item),
                Err(item) => item,
                Ok(()) => return Ok(()),
            };
            room.await;
        }
    }

    /// Gives the item back when its part has so many already, or nobody takes any more.
    pub(crate) fn try_send(&self, class: Class, item: T, most: usize) -> Result<(), T> {
        let mut parts = self.0.parts();
        let abandoned = parts.abandoned;
        match parts.of.get_mut(class) {
            Some(part) if part.len() < most && !abandoned => part.push_back(item),
            _ => return Err(item),
        }
        drop(parts);
        self.0.filled.notify_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Waits for items, and takes so many at most; none when the queue has ended.
    pub(crate) async fn recv_many(&mut self, into: &mut Vec<T>, most: usize) -> usize {
        loop {
            let filled = self.0.filled.notified();
            let (taken, closed) = {
                let mut parts = self.0.parts();
                (parts.take(into, most), parts.closed)
            };
            if taken > 0 {
                self.0.room.notify_waiters();
                return taken;
            }
            if closed {
                return 0;
            }
            filled.await;
        }
    }
}

impl<T> Parts<T> {
    /// One of each part in turns.
    fn take(&mut self, into: &mut Vec<T>, most: usize) -> usize {
        let (mut taken, mut empty) = (0, 0);
        while taken < most && empty < self.of.len() {
            match self.of[self.next].pop_front() {
                Some(item) => {
                    into.push(item);
                    (taken, empty) = (taken + 1, 0);
                }
                None => empty += 1,
            }
            self.next = (self.next + 1) % self.of.len();
        }
        taken
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.parts().closed = true;
        self.0.filled.notify_one();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut parts = self.0.parts();
        parts.abandoned = true;
        parts.of.iter_mut().for_each(VecDeque::clear);
        drop(parts);
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_take_turns() {
        let (sender, mut receiver) = queue(3, 10);
        for n in 0..5 {
            sender.try_send(1, n, 10).unwrap();
        }
        sender.try_send(2, 10, 10).unwrap();
        sender.try_send(0, 20, 10).unwrap();
        let mut taken = Vec::new();
        assert_eq!(receiver.recv_many(&mut taken, 4).await, 4);
        assert_eq!(taken, [20, 0, 10, 1]);
        sender.try_send(2, 11, 10).unwrap();
        taken.clear();
        assert_eq!(receiver.recv_many(&mut taken, 9).await, 4);
        assert_eq!(taken, [11, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_full_part_waits_alone() {
        let (sender, mut receiver) = queue(2, 2);
        for n in 0..2 {
            sender.send(1, n).await.unwrap();
        }
        assert_eq!(sender.try_send(1, 2, 2), Err(2));
        sender.send(0, 9).await.unwrap();
        let sending = tokio::spawn(async move { sender.send(1, 2).await });
        tokio::task::yield_now().await;
        let mut taken = Vec::new();
        receiver.recv_many(&mut taken, 1).await;
        receiver.recv_many(&mut taken, 1).await;
        sending.await.unwrap().unwrap();
        receiver.recv_many(&mut taken, 9).await;
        assert_eq!(taken, [9, 0, 1, 2]);
        // The sender is gone.
        assert_eq!(receiver.recv_many(&mut taken, 9).await, 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_one_that_takes_no_more() {
        let (sender, receiver) = queue(1, 1);
        sender.send(0, 1).await.unwrap();
        let sending = tokio::spawn(async move { sender.send(0, 2).await });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(sending.await.unwrap(), Err(2));
    }
}
