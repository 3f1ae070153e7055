//! Asks a registry: over TLS where it speaks it, logged in where it asks for it.

use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use super::challenge::Challenges;
use super::memory::{Login, Registries, Transport};
use super::realm;
use super::repository::Repository;
use super::token::{Age, Exchange, denied};
use crate::sources::credentials::Credentials;
use crate::sources::error::{FetchError, Part};
use crate::sources::guard::Load;
use crate::sources::http::{Ask, Head, How, Reply, Validator, Web};
use crate::sources::site::Site;

/// A repository that can be asked.
#[derive(Clone, Copy)]
pub(in crate::sources) struct Client<'a> {
    pub(in crate::sources) registries: &'a Registries,
    pub(in crate::sources) repository: &'a Repository,
    pub(in crate::sources) web: &'a Web,
}

/// What is asked of a repository.
#[derive(Clone, Copy)]
pub(in crate::sources) struct Question<'a> {
    pub(in crate::sources) part: Part,
    pub(in crate::sources) url: &'a Url,
    pub(in crate::sources) validator: Option<&'a Validator>,
    pub(in crate::sources) how: How<'a>,
}

impl Client<'_> {
    /// The head of the answer. A 401 is answered once, with what the registry asks for.
    pub(in crate::sources) async fn send(self, question: Question<'_>) -> Result<Head, FetchError> {
        let asked = Instant::now();
        let known = self.known_login().await?;
        let head = self.speak(question, known).await?;
        if !self.is_refusal(&head) {
            return Ok(head);
        }
        let login = self.choose(&Challenges::of(head.headers()), question.url)?;
        let credentials = self.log_in(&login, Age::After(asked)).await?;
        let identity = self.repository.site.key;
        self.registries.remember_login(identity, login.clone());
        let head = self.speak(question, credentials).await?;
        if !self.is_refusal(&head) {
            return Ok(head);
        }
        let refused = || {
            denied(
                question.url,
                StatusCode::UNAUTHORIZED,
                &self.repository.site,
            )
        };
        let exchange = self.exchange(&login, &Challenges::of(head.headers()));
        let login = exchange.ok_or_else(refused)?;
        let credentials = self.log_in(&login, Age::After(asked)).await?;
        self.registries.remember_login(identity, login);
        let head = self.speak(question, credentials).await?;
        if self.is_refusal(&head) {
            return Err(refused());
        }
        Ok(head)
    }

    /// A token of our own is no token of the registry's everywhere. Where one is refused, the registry's own token
    /// service may take it for one of its own.
    fn exchange(self, refused: &Login, challenges: &Challenges) -> Option<Login> {
        let own = self.repository.site.credentials();
        let is_ours = matches!(own, Some(Credentials::Renewed { .. }));
        let bearer = challenges.bearer.as_ref()?;
        let may_be = is_ours
            && matches!(refused, Login::AsTheyAre)
            && self.check_realm(&bearer.realm).is_ok();
        may_be.then(|| Login::Token(bearer.clone()))
    }

    /// A good answer to a question.
    pub(in crate::sources) async fn get(self, question: Question<'_>) -> Result<Reply, FetchError> {
        let head = self.send(question).await?;
        let site = &self.repository.site;
        let Question {
            part,
            url,
            validator,
            how,
        } = question;
        self.web.reply(
            &Ask {
                part,
                site,
                url,
                validator,
                how,
            },
            head,
        )
    }

    /// A 401 of the registry: of a place that it redirects to, it is none of its own.
    fn is_refusal(self, head: &Head) -> bool {
        head.status() == StatusCode::UNAUTHORIZED && head.is_of(&self.registry())
    }

    /// What the registry has asked for before, so that most requests need no 401 first.
    async fn known_login(self) -> Result<Option<Credentials>, FetchError> {
        let identity = self.repository.site.key;
        let Some(login) = self.registries.login(&identity) else {
            return Ok(self.certificate());
        };
        let credentials = self.log_in(&login, Age::Any).await;
        if credentials.is_err() {
            // Perhaps tokens are handed out elsewhere now: the registry is asked anew next time.
            self.registries.forget_login(&identity);
        }
        credentials
    }

    /// A client certificate is shown while connecting, whatever the registry asks for later.
    fn certificate(self) -> Option<Credentials> {
        let own = self.repository.site.credentials();
        own.filter(|own| matches!(own, Credentials::Tls { .. }))
            .cloned()
    }

    async fn log_in(self, login: &Login, age: Age) -> Result<Option<Credentials>, FetchError> {
        let site = &self.repository.site;
        let bearer = match login {
            Login::AsTheyAre => return Ok(site.credentials().cloned()),
            Login::Token(bearer) => bearer,
        };
        let exchange = Exchange {
            bearer,
            scope: &self.repository.scope(),
            site,
            web: self.web,
        };
        self.registries.tokens.token(&exchange, age).await.map(Some)
    }

    /// The login to answer challenges with. Credentials go to the registry and to its own token service.
    fn choose(self, challenges: &Challenges, asked: &Url) -> Result<Login, FetchError> {
        let site = &self.repository.site;
        let own = site.credentials();
        let takes_basic =
            challenges.basic.is_some() && matches!(own, Some(Credentials::Basic { .. }));
        match (&challenges.bearer, own) {
            (Some(_), Some(Credentials::Bearer(_) | Credentials::Renewed { .. })) => {
                Ok(Login::AsTheyAre)
            }
            (Some(bearer), _) => match self.check_realm(&bearer.realm) {
                Ok(()) => Ok(Login::Token(bearer.clone())),
                Err(_) if takes_basic => Ok(Login::AsTheyAre),
                Err(error) => Err(error),
            },
            (None, _) if takes_basic => Ok(Login::AsTheyAre),
            (None, _) => Err(denied(asked, StatusCode::UNAUTHORIZED, site)),
        }
    }

    fn check_realm(self, realm: &Url) -> Result<(), FetchError> {
        let load = match self.repository.site.credentials() {
            None | Some(Credentials::Tls { .. }) => Load::Nothing,
            Some(_) => Load::Credentials,
        };
        realm::check(&self.web.guard, &self.registry(), realm, load)
    }

    /// The registry as it is spoken to.
    fn registry(self) -> Url {
        let registry = self.repository.registry();
        match self.registries.transport(registry) {
            Some(Transport::Plain) => over(Transport::Plain, registry),
            Some(Transport::Tls) | None => registry.clone(),
        }
    }

    /// Asks over TLS, unless the registry is known not to speak it; finds that out where it may be asked
    /// over plain HTTP.
    async fn speak(
        self,
        question: Question<'_>,
        login: Option<Credentials>,
    ) -> Result<Head, FetchError> {
        let registry = self.repository.registry();
        let transport = self.registries.transport(registry);
        let first = transport.unwrap_or(Transport::Tls);
        let answered = self.speak_over(first, question, login.clone()).await;
        match (transport, answered) {
            (None, Err(FetchError::NotTls(_))) if self.may_be_plain() => {
                let head = self.speak_over(Transport::Plain, question, login).await?;
                self.registries
                    .remember_transport(registry, Transport::Plain);
                Ok(head)
            }
            (None, Ok(head)) => {
                self.registries.remember_transport(registry, Transport::Tls);
                Ok(head)
            }
            (Some(Transport::Plain), Err(error)) => {
                self.registries.forget_transport(registry);
                Err(error)
            }
            (_, answered) => answered,
        }
    }

    fn may_be_plain(self) -> bool {
        let plain = over(Transport::Plain, self.repository.registry());
        self.web.guard.check(&plain, &plain, Load::Nothing).is_ok()
    }

    async fn speak_over(
        self,
        transport: Transport,
        question: Question<'_>,
        login: Option<Credentials>,
    ) -> Result<Head, FetchError> {
        let base = over(transport, self.repository.registry());
        let url = over(transport, question.url);
        let site: Site = self.repository.site.beside(base, login);
        let ask = Ask {
            part: question.part,
            site: &site,
            url: &url,
            validator: question.validator,
            how: question.how,
        };
        self.web.send(&ask).await
    }
}

fn over(transport: Transport, url: &Url) -> Url {
    let mut url = url.clone();
    let word = match transport {
        Transport::Plain => "http",
        Transport::Tls => "https",
    };
    // Fails only between kinds of URLs that we never have.
    let _ = url.set_scheme(word);
    url
}
