//! Following a task to its end, for every runner: the one place that waits for tasks.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use tokio::time::{sleep, timeout};

use super::{
    Cursor, LINE_SILENCE, LineSplitter, OutputItem, OutputItems, OutputStream, Positioned, TaskError,
    TaskRunner, line_text,
};
use crate::model::{AppRef, Exit, TaskRef};

/// So often in a row a broken connection to a task is made again before that is an error.
const RETRIES: u32 = 8;
/// First pause before a broken connection is made again; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Conveniences over every [`TaskRunner`].
///
/// Whoever waits for a task is woken by its output and its end; nothing here asks again and again how it is.
pub trait TaskRunnerExt: TaskRunner {
    /// The items of a task's output from `from` on, across broken connections to the runner. Ends after
    /// [`OutputItem::Ended`] or the first error.
    ///
    /// # Errors
    /// An item is [`TaskError::Unknown`] if the task is not known, or no longer; [`TaskError::Unavailable`] if the
    /// runner stays out of reach.
    fn items<'a>(&'a self, task: &'a TaskRef, from: Cursor) -> BoxStream<'a, Result<Positioned, TaskError>> {
        let follower = Follower { runner: self, task, from, connection: None, failures: 0, ended: false };
        stream::unfold(follower, |mut follower| async move {
            let item = follower.next().await?;
            Some((item, follower))
        })
        .boxed()
    }

    /// Waits for a task's end.
    ///
    /// # Errors
    /// As [`TaskRunnerExt::items`].
    fn end(&self, task: &TaskRef) -> impl Future<Output = Result<Exit, TaskError>> + Send {
        async move {
            let mut items = self.items(task, Cursor::START);
            while let Some(item) = items.next().await {
                if let OutputItem::Ended { exit } = item?.item {
                    return Ok(exit);
                }
            }
            Err(TaskError::Unknown)
        }
    }

    /// Hands on a task's output line by line, as text, until its end. The beginning of a line is handed on after a
    /// second of silence, since a prompt has no line end.
    ///
    /// # Errors
    /// As [`TaskRunnerExt::items`].
    fn follow_lines<F, Fut>(
        &self,
        task: &TaskRef,
        from: Cursor,
        each: F,
    ) -> impl Future<Output = Result<Exit, TaskError>> + Send
    where
        F: FnMut(String) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        async move { follow_lines(self.items(task, from), each).await }
    }

    /// Whether no task of the app starts or runs.
    ///
    /// # Errors
    /// [`TaskError::Unavailable`].
    fn is_idle(&self, app: &AppRef) -> impl Future<Output = Result<bool, TaskError>> + Send {
        async move { Ok(self.tasks(Some(app)).await?.iter().all(|task| !task.state.is_active())) }
    }
}

impl<R: TaskRunner + ?Sized> TaskRunnerExt for R {}

struct Follower<'a, R: ?Sized> {
    runner: &'a R,
    task: &'a TaskRef,
    from: Cursor,
    connection: Option<OutputItems>,
    /// Broken connections since the last item.
    failures: u32,
    ended: bool,
}

impl<R: TaskRunner + ?Sized> Follower<'_, R> {
    async fn next(&mut self) -> Option<Result<Positioned, TaskError>> {
        if self.ended {
            return None;
        }
        loop {
            match self.step().await {
                Ok(item) => {
                    (self.from, self.failures) = (item.cursor, 0);
                    self.ended = matches!(item.item, OutputItem::Ended { .. });
                    return Some(Ok(item));
                }
                Err(TaskError::Unavailable(_)) if self.failures < RETRIES => {
                    self.connection = None;
                    sleep(FIRST_PAUSE * 2u32.pow(self.failures)).await;
                    self.failures += 1;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Positioned, TaskError> {
        if self.connection.is_none() {
            self.connection = Some(self.runner.attach(self.task, self.from, false).await?.output);
        }
        let broken = || TaskError::Unavailable("the connection to the task broke".into());
        match &mut self.connection {
            Some(output) => output.next().await.ok_or_else(broken)?,
            None => Err(broken()),
        }
    }
}

async fn follow_lines<F, Fut>(
    mut items: BoxStream<'_, Result<Positioned, TaskError>>,
    mut each: F,
) -> Result<Exit, TaskError>
where
    F: FnMut(String) -> Fut + Send,
    Fut: Future<Output = ()> + Send,
{
    let mut streams: [LineSplitter; 2] = Default::default();
    let mut lines = VecDeque::new();
    loop {
        let silence = if streams.iter().any(LineSplitter::is_waiting) { LINE_SILENCE } else { Duration::MAX };
        let mut end = None;
        {
            let mut line = |bytes: &[u8]| lines.push_back(line_text(bytes));
            match timeout(silence, items.next()).await {
                Err(_) => {
                    for stream in &mut streams {
                        stream.show(&mut line);
                    }
                }
                Ok(None) => return Err(TaskError::Unknown),
                Ok(Some(item)) => match item?.item {
                    OutputItem::Output(chunk) => {
                        let stream = usize::from(chunk.stream == OutputStream::Stderr);
                        streams[stream].feed(&chunk.bytes, &mut line);
                    }
                    OutputItem::Lost { bytes } => {
                        finish(&mut streams, &mut line);
                        line(format!("[{bytes} bytes of output were dropped here]").as_bytes());
                    }
                    OutputItem::Broken { reason } => {
                        finish(&mut streams, &mut line);
                        line(format!("[the output ends here: {reason}]").as_bytes());
                    }
                    OutputItem::Ended { exit } => {
                        finish(&mut streams, &mut line);
                        end = Some(exit);
                    }
                },
            }
        }
        while let Some(line) = lines.pop_front() {
            each(line).await;
        }
        if let Some(exit) = end {
            return Ok(exit);
        }
    }
}

fn finish(streams: &mut [LineSplitter], mut line: impl FnMut(&[u8])) {
    for stream in streams {
        stream.finish(&mut line);
    }
}
