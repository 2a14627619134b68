// The practice mailbox. Whatever comes from a mail is set as text; its HTML is shown in a sandboxed frame alone.

const POLL_MS = 2000;
const byId = (id) => document.getElementById(id);

const state = { folder: 'all', list: '', chosen: '', mail: null, tab: 'reader' };

async function api(path, body) {
  const response = await fetch(`/practice${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (response.ok) return answer;
  const message = answer.error?.message ?? `The service answered ${response.status}.`;
  throw Object.assign(new Error(message), { status: response.status });
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function notice(text) {
  byId('notice').textContent = text;
  byId('notice').hidden = text === '';
}

// ---- list

async function refresh() {
  const query = `?folder=${state.folder}&limit=300`;
  try {
    const { data } = await api(`/messages${query}`);
    notice('');
    const fingerprint = query + data.map(({ id }) => id).join();
    if (fingerprint === state.list) return;
    state.list = fingerprint;
    byId('messages').replaceChildren(...data.map(item));
    byId('empty').hidden = data.length > 0;
    markChosen();
  } catch (error) {
    if (error.status === 401) notice('You are signed out. Get a fresh address with: npm run telltale -- sign-in');
    else notice('Telltale does not answer; trying again.');
  }
}

async function poll() {
  if (document.visibilityState === 'visible') await refresh();
  setTimeout(poll, POLL_MS);
}

const KINDS = { INBOX: 'answer', DRAFTS: 'draft' };

function item(mail) {
  const isAnswer = mail.folder === 'INBOX';
  const people = isAnswer ? mail.from : mail.to;
  const date = new Date(mail.date * 1000);
  const link = element(
    'a',
    { href: `#${mail.id}` },
    element('span', {
      className: 'who',
      textContent: `${isAnswer ? 'from' : 'to'} ${people.map(nameOf).join(', ') || 'nobody'}`,
    }),
    element('time', { dateTime: date.toISOString(), textContent: shortDate(date) }),
    element('span', { className: 'what', textContent: mail.subject || '(no subject)' }),
    element('span', { className: 'kind', textContent: KINDS[mail.folder] ?? '' }),
  );
  link.dataset.id = mail.id;
  return element('li', { className: isAnswer ? 'answer' : '' }, link);
}

function markChosen() {
  for (const link of byId('messages').querySelectorAll('a')) {
    link.setAttribute('aria-current', String(link.dataset.id === state.chosen));
  }
}

function nameOf({ name, email }) {
  return name || email;
}

function fullName({ name, email }) {
  return name ? `${name} <${email}>` : email;
}

function shortDate(date) {
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], today ? { hour: '2-digit', minute: '2-digit' } : { day: 'numeric', month: 'short' });
}

for (const button of document.querySelectorAll('[data-folder]')) {
  button.addEventListener('click', () => {
    state.folder = button.dataset.folder;
    for (const other of document.querySelectorAll('[data-folder]')) {
      other.setAttribute('aria-pressed', String(other === button));
    }
    void refresh();
  });
}

// ---- one message

async function open() {
  state.chosen = /^#(prm_\w+)$/.exec(location.hash)?.[1] ?? '';
  document.body.classList.toggle('open', state.chosen !== '');
  markChosen();
  byId('nothing').hidden = state.chosen !== '';
  byId('message').hidden = true;
  if (state.chosen === '') return;
  const id = state.chosen;
  try {
    const { data } = await api(`/messages/${encodeURIComponent(id)}`);
    if (id !== state.chosen) return;
    state.mail = data;
    show(data);
  } catch (error) {
    notice(error.message);
  }
}

function show(mail) {
  byId('subject').textContent = mail.subject || '(no subject)';
  const seen = new Set([...mail.to, ...mail.cc].map(({ email }) => email.toLowerCase()));
  const blind = mail.folder === 'SENT' ? mail.envelope.filter((email) => !seen.has(email.toLowerCase())) : [];
  const fields = [
    ['From', mail.from.map(fullName)],
    ['To', mail.to.map(fullName)],
    ['Cc', mail.cc.map(fullName)],
    ['Bcc', blind],
    ['Date', [new Date(mail.date * 1000).toLocaleString()]],
  ];
  byId('envelope').replaceChildren(
    ...fields
      .filter(([, values]) => values.length > 0)
      .flatMap(([name, values]) => [
        element('dt', { textContent: name }),
        element('dd', { textContent: values.join(', ') }),
      ]),
  );
  byId('attachments').hidden = mail.attachments.length === 0;
  byId('attachments').replaceChildren(
    ...mail.attachments.map((attachment) =>
      element(
        'li',
        {},
        element(
          'a',
          {
            className: 'file',
            href: `/practice/messages/${mail.id}/attachments/${attachment.index}`,
            download: attachment.filename,
          },
          `${attachment.filename} `,
          element('span', { textContent: size(attachment.size) + (attachment.is_inline ? ', inline' : '') }),
        ),
      ),
    ),
  );
  byId('answer').hidden = mail.folder !== 'SENT';
  byId('answered').textContent = '';
  byId('reader-name').textContent = mail.to.map(fullName)[0] ?? mail.envelope[0] ?? 'the reader';
  byId('message').hidden = false;
  showTab();
}

function showTab() {
  for (const tab of document.querySelectorAll('[data-tab]')) {
    tab.setAttribute('aria-selected', String(tab.dataset.tab === state.tab));
  }
  byId('pane').setAttribute('aria-labelledby', `tab-${state.tab}`);
  byId('images').closest('label').hidden = state.tab !== 'reader';
  byId('pane').replaceChildren(TABS[state.tab](state.mail));
}

const TABS = {
  reader(mail) {
    const frame = element('iframe', { title: 'The message as its reader sees it', referrerPolicy: 'no-referrer' });
    frame.setAttribute('sandbox', 'allow-popups allow-popups-to-escape-sandbox');
    frame.src = `/practice/messages/${mail.id}/view?images=${byId('images').checked}`;
    return frame;
  },
  text(mail) {
    return element('pre', { textContent: mail.text || '(this message has no text)' });
  },
  headers(mail) {
    const rows = mail.headers.map(({ name, value }) =>
      element('tr', {}, element('th', { textContent: name, scope: 'row' }), element('td', { textContent: value })),
    );
    return element('table', {}, element('tbody', {}, ...rows));
  },
  raw(mail) {
    const box = element('pre', { textContent: '…' });
    fetch(`/practice/messages/${mail.id}/raw`)
      .then((response) => response.text())
      .then((text) => {
        box.textContent = text;
      })
      .catch((error) => notice(error.message));
    return box;
  },
};

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} kB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

for (const tab of document.querySelectorAll('[data-tab]')) {
  tab.addEventListener('click', () => {
    state.tab = tab.dataset.tab;
    showTab();
  });
}
byId('images').addEventListener('change', showTab);
window.addEventListener('hashchange', open);

// ---- answer

byId('answer').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('[type=submit]');
  button.disabled = true;
  try {
    const headers = byId('answer-auto').checked ? [{ name: 'Auto-Submitted', value: 'auto-replied' }] : [];
    await api(`/messages/${state.mail.id}/reply`, { text: byId('answer-text').value, headers });
    event.target.reset();
    byId('answered').textContent = 'Answered.';
    await refresh();
  } catch (error) {
    byId('answered').textContent = error.message;
  } finally {
    button.disabled = false;
  }
});

// ---- new message

byId('compose').addEventListener('click', async () => {
  try {
    const { data } = await api('/grants');
    byId('send-from').replaceChildren(
      ...data.map((grant) =>
        element('option', {
          value: grant.id,
          textContent: fullName(grant) + (grant.grant_status === 'valid' ? '' : ' (expired)'),
        }),
      ),
    );
    byId('send-problem').hidden = true;
    byId('new-message').showModal();
  } catch (error) {
    notice(error.message);
  }
});
byId('send-cancel').addEventListener('click', () => byId('new-message').close());

byId('send').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('[type=submit]');
  button.disabled = true;
  try {
    await api(`/grants/${byId('send-from').value}/send`, {
      to: [{ email: byId('send-to').value }],
      subject: byId('send-subject').value,
      body: byId('send-body').value,
      tracking_options: {
        opens: byId('send-opens').checked,
        links: byId('send-links').checked,
        thread_replies: byId('send-replies').checked,
        label: byId('send-label').value,
      },
    });
    byId('new-message').close();
    await refresh();
    const [newest] = byId('messages').querySelectorAll('a');
    if (newest) location.hash = newest.dataset.id;
  } catch (error) {
    byId('send-problem').textContent = error.message;
    byId('send-problem').hidden = false;
  } finally {
    button.disabled = false;
  }
});

void poll();
void open();
