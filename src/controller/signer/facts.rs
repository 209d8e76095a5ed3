//! Answers to the policy's questions, remembered for a moment: a Deployment's pods ask about
//! the same Service all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::Instant;

use crate::cluster::{Answer, Cluster, Error};
use crate::policy::{Facts, Question};
use crate::request::Requester;

/// How long an answer counts; no longer than a watch may lag behind.
const COUNTS: Duration = Duration::from_secs(1);
/// How many are remembered.
const REMEMBERED: usize = 512;

/// Finds out and remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<HashMap<Question, (Instant, Answer)>>>);

impl Memory {
    /// What `questions` ask, on behalf of `requester`.
    ///
    /// # Errors
    /// When a question cannot be asked.
    pub(super) async fn find_out(
        &self,
        cluster: &Cluster,
        questions: &[Question],
        requester: &Requester,
    ) -> Result<Facts, Error> {
        let answers = questions
            .iter()
            .map(|question| self.answer(cluster, question, requester));
        let mut facts = Facts::default();
        for (question, answer) in questions.iter().zip(try_join_all(answers).await?) {
            answer.put_into(&mut facts, question);
        }
        Ok(facts)
    }

    async fn answer(
        &self,
        cluster: &Cluster,
        question: &Question,
        requester: &Requester,
    ) -> Result<Answer, Error> {
        let now = Instant::now();
        if let Some((at, answer)) = self.lock().get(question)
            && now.duration_since(*at) < COUNTS
        {
            return Ok(answer.clone());
        }
        let answer = cluster.answer(question, requester).await?;
        // What is not there may be there the next time; access is another requester's.
        if matches!(answer, Answer::Service(Some(_)) | Answer::Pod(Some(_))) {
            let mut memory = self.lock();
            if memory.len() >= REMEMBERED {
                memory.retain(|_, (at, _)| now.duration_since(*at) < COUNTS);
            }
            if memory.len() < REMEMBERED {
                memory.insert(question.clone(), (now, answer.clone()));
            }
        }
        Ok(answer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, (Instant, Answer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
