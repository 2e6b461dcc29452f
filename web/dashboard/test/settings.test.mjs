// Settings: members and keys come, act and go; apps; alerts; what the server was started with; and the audit shows it all.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`
const token = '7342037359:AAtheSecretOfTheBotThatNobodySees'

const objects = `apps:
  game: { title: Game, currencies: { coins: 0 }, sources: { server: { profile: api } } }
publishers:
  north: { title: North Games }
`

let browser, carom, receiver

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  receiver = await startReceiver()
  process.env.CAROM_ALERT_SLACK_URL = `${receiver.url}/T0/B0/secret-of-the-chat`
  carom = await startDashboard(objects, { flags: ['--retention', '45d'] })
  delete process.env.CAROM_ALERT_SLACK_URL
})

after(async () => {
  await browser?.close()
  await carom?.close()
  receiver?.close()
})

const act = async (page, member, what) => {
  await page.getByRole('button', { name: `What can be done with ${member}` }).click()
  await page.getByRole('menuitem', { name: what }).click()
}

test('a member is invited, signs in by the link, is disabled, and signed out at once', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/members')
  await page.getByRole('button', { name: 'Invite a member' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Make the invitation' }).click()
  await dialog.getByText('This is no e-mail address').waitFor()
  await dialog.getByLabel('E-mail').fill('operator@example.com')
  await dialog.getByRole('button', { name: 'Make the invitation' }).click()
  await dialog.getByRole('alert').getByText('there is a member with the e-mail address').waitFor()
  await dialog.getByLabel('E-mail').fill('ada@example.com')
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill(`Ada ${hostile}`)
  await dialog.getByLabel('Support').check()
  await dialog.getByRole('button', { name: 'Make the invitation' }).click()
  const link = await page.getByLabel('One-time link').textContent()
  await page.getByRole('button', { name: 'I have copied it' }).click()
  const row = page.getByRole('row', { name: /ada@example\.com/ })
  await row.getByText('invited').waitFor()
  await row.getByText(hostile).waitFor()

  const ada = await openAs(browser, carom, [], new URL(link).pathname + new URL(link).hash)
  await ada.page.getByLabel('Password', { exact: true }).fill(carom.password)
  await ada.page.getByRole('button', { name: 'Set the password' }).click()
  await ada.page.getByRole('heading', { name: 'Overview' }).waitFor()
  await ada.page.goto(`${carom.url}/settings/members`)
  await ada.page.getByRole('row', { name: /ada@example\.com/ }).getByText('active').waitFor()
  assert.equal(await ada.page.getByRole('button', { name: /^What can be done/ }).count(), 0) // support changes nobody

  await act(page, 'ada@example.com', 'Change')
  await dialog.getByLabel('Viewer').check()
  await dialog.getByRole('button', { name: 'Save the member' }).click()
  await row.getByText('Viewer').waitFor()
  await act(page, 'ada@example.com', 'Disable')
  await dialog.getByRole('button', { name: 'Disable the member' }).click()
  await row.getByText('disabled').waitFor()

  await ada.page.getByRole('tab', { name: 'API keys' }).click()
  await ada.page.getByText('Your session has ended').waitFor()
  await ada.page.getByLabel('Password', { exact: true }).fill(carom.password)
  await ada.page.getByRole('button', { name: 'Sign in' }).click()
  await ada.page.getByRole('dialog').getByRole('alert').waitFor() // disabled, and told no more than anybody else; the page behind has an alert of its own
  await ada.done()

  await act(page, 'ada@example.com', 'Enable')
  await dialog.getByRole('button', { name: 'Enable the member' }).click()
  await row.getByText('active').waitFor()
  await act(page, 'ada@example.com', 'Make a link to set a password')
  await dialog.getByRole('button', { name: 'Make the link' }).click()
  assert.match(await page.getByLabel('One-time link').textContent(), /\/welcome#/)
  await page.getByRole('button', { name: 'I have copied it' }).click()
  await act(page, 'ada@example.com', 'Remove')
  await dialog.getByRole('button', { name: 'Remove the member' }).click()
  await row.waitFor({ state: 'detached' })
  await done()
})

test('a list that was asked for before a change, and answered after it, shows the change', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, 'about:blank')
  let old, give
  const given = new Promise((resolve) => (give = resolve))
  await page.route('**/v1/members', async (route) => {
    if (old || route.request().method() !== 'GET') return route.fallback()
    old = route.fetch()
    await old
    await given
    await route.fulfill({ response: await old }).catch(() => {}) // nobody may wait for it any more
  })
  await page.goto(`${carom.url}/settings/members`)
  await page.getByRole('button', { name: 'Invite a member' }).click()
  await page.getByRole('dialog').getByLabel('E-mail').fill('late@example.com')
  while (!old) await page.waitForTimeout(10)
  await old
  await page.getByRole('dialog').getByRole('button', { name: 'Make the invitation' }).click()
  await page.getByRole('button', { name: 'I have copied it' }).click()
  give()
  await page.getByRole('row', { name: /late@example\.com/ }).waitFor()
  await done()
})

test('what somebody else changes of a member meanwhile is not overwritten unseen', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/members')
  const other = await openAs(browser, carom, carom.operator, '/settings/members')
  const dialog = page.getByRole('dialog')
  await page.getByRole('button', { name: 'Invite a member' }).click()
  await dialog.getByLabel('E-mail').fill('grace@example.com')
  await dialog.getByRole('button', { name: 'Make the invitation' }).click()
  await page.getByRole('button', { name: 'I have copied it' }).click()

  await act(page, 'grace@example.com', 'Change')
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('Grace')
  await other.page.reload()
  await act(other.page, 'grace@example.com', 'Disable')
  await other.page.getByRole('dialog').getByRole('button', { name: 'Disable the member' }).click()
  await other.page.getByRole('row', { name: /grace@example\.com/ }).getByText('disabled').waitFor()
  await dialog.getByRole('button', { name: 'Save the member' }).click()
  await dialog.getByRole('alert').getByText('Changed meanwhile').waitFor()
  await dialog.getByRole('row', { name: /^disabled/ }).waitFor()
  await dialog.getByRole('button', { name: 'Load theirs' }).click()
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('Grace')
  await dialog.getByRole('button', { name: 'Save the member' }).click()
  await dialog.waitFor({ state: 'detached' })
  const row = page.getByRole('row', { name: /grace@example\.com/ })
  await row.getByText('Grace', { exact: true }).waitFor()
  await row.getByText('disabled').waitFor()
  await other.done()
  await done()
})

test('the last operator stays', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/members')
  await act(page, 'operator@example.com', 'Disable')
  await page.getByRole('dialog').getByRole('button', { name: 'Disable the member' }).click()
  await page.getByRole('dialog').getByRole('alert').getByText('the last operator').waitFor()
  await done()
})

test('a key is made, used, and deleted', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/keys')
  await page.getByRole('button', { name: 'Make a key' }).first().click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Make the key' }).click()
  await dialog.getByText('Say who will use it').waitFor()
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill(`backend ${hostile}`)
  await dialog.getByRole('combobox', { name: 'Only for the app' }).click()
  await page.getByRole('option', { name: 'Game' }).click()
  await dialog.getByRole('button', { name: 'Make the key' }).click()
  const key = await page.getByLabel('API key', { exact: true }).textContent()
  await page.getByRole('button', { name: 'I have copied it' }).click()
  const row = page.getByRole('row', { name: /backend/ })
  await row.getByText('never').waitFor()
  await row.getByText('the app game').waitFor()
  await page.reload()
  await row.waitFor()
  assert.ok(!(await page.content()).includes(key))

  const report = () =>
    fetch(`${carom.url}/v1/events`, {
      method: 'POST', headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
      body: JSON.stringify([{ id: 'e1', app: 'game', event_type: 'impression', reward_event_type: 'valued', ymid: 'v1' }]),
    })
  assert.equal((await report()).status, 200)
  await page.reload()
  await row.getByText('never').waitFor({ state: 'detached' })
  await row.getByRole('button', { name: /^Delete/ }).click()
  await dialog.getByText('It was last used').waitFor()
  await dialog.getByRole('button', { name: 'Delete the key' }).click()
  await row.waitFor({ state: 'detached' })
  assert.equal((await report()).status, 401)
  await done()
})

test('the audit shows it all', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/audit')
  const rows = page.locator('[data-audit]')
  await rows.first().waitFor()
  const actions = new Set(await rows.evaluateAll((list) => list.map((r) => r.dataset.audit)))
  for (const action of ['create-member', 'claim-link', 'change-member', 'delete-member', 'create-key', 'delete-key']) assert.ok(actions.has(action), `${action} is not among ${[...actions]}`)
  await page.getByLabel('Did what').fill('change-member')
  await page.waitForURL(/action=change-member/)
  await page.waitForFunction(() => [...document.querySelectorAll('[data-audit]')].every((r) => r.dataset.audit === 'change-member'))
  await page.getByRole('button', { name: /^Details of change-member by operator@example\.com/ }).last().click()
  await page.getByRole('table', { name: 'What was changed' }).getByRole('row', { name: 'role support viewer' }).waitFor()
  await page.getByRole('button', { name: 'Clear' }).click()
  await page.getByRole('combobox', { name: 'Outcome' }).click()
  await page.getByRole('option', { name: 'Refused' }).click()
  await page.waitForFunction(() => document.querySelectorAll('[data-audit]').length > 0 && [...document.querySelectorAll('[data-audit]')].every((r) => r.textContent.includes('refused')))
  await done()
})

test('the password is changed with the one of now', options, async () => {
  const member = await carom.member('viewer')
  const { page, done } = await openAs(browser, carom, member, '/settings/account')
  await page.getByLabel('Password of now').fill('something else')
  await page.getByLabel('New password', { exact: true }).fill('short')
  await page.getByLabel('New password, once more').fill('another one')
  await page.getByRole('button', { name: 'Change the password' }).click()
  await page.getByText('A password has at least 10 characters').waitFor()
  await page.getByText('The two differ').waitFor()
  await page.getByLabel('New password', { exact: true }).fill('quite another password')
  await page.getByLabel('New password, once more').fill('quite another password')
  await page.getByRole('button', { name: 'Change the password' }).click()
  await page.getByText('this is not your password').first().waitFor()
  await page.getByLabel('Password of now').fill(carom.password)
  await page.getByRole('button', { name: 'Change the password' }).click()
  await page.getByText('The password is changed').waitFor()
  await page.reload()
  await page.getByLabel('Password of now').waitFor() // this session goes on
  await done()
})

test('an app is made and changed; the token of its bot is never shown', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/apps')
  await page.getByRole('link', { name: 'Make an app' }).click()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Game Two')
  await page.getByRole('button', { name: 'Make the app' }).click()
  await page.getByText('Lower-case letters, digits, - and _, a letter').waitFor()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('game')
  await page.getByLabel('Title').fill(hostile)
  await page.getByRole('button', { name: 'Make the app' }).click()
  await page.getByRole('alert').getByText('already').waitFor() // it is not overwritten
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('game-two')
  await page.getByRole('button', { name: 'Add a currency' }).click()
  await page.getByLabel('Name of currency 1').fill('coins')
  await page.getByLabel('Pages').fill('https://game.example\nnot an origin')
  await page.getByLabel('Token', { exact: true }).fill(token)
  await page.getByRole('button', { name: 'Make the app' }).click()
  await page.getByText('it is no origin').first().waitFor()
  assert.equal(await page.getByLabel('Token', { exact: true }).inputValue(), token)
  await page.getByLabel('Pages').fill('https://game.example')
  await page.getByRole('button', { name: 'Make the app' }).click()
  await page.waitForURL(/\/settings\/apps\/game-two$/)
  await page.getByText('One is stored, and is never shown').waitFor()
  assert.equal(await page.getByLabel('Token', { exact: true }).inputValue(), '')
  assert.ok(!(await page.content()).includes(token.slice(12)))

  await page.getByLabel('Title').fill('Second game')
  await page.getByRole('button', { name: 'Save the app' }).click()
  await page.getByText('Saved. It is in force.').waitFor()
  const stored = await carom.ask('GET', '/v1/apps/game-two')
  assert.equal(stored.has_bot_token, true) // what was not written stays
  assert.deepEqual(stored.currencies, { coins: 0 })
  assert.equal(stored.title, 'Second game')
  await page.getByLabel('Forget the token that is stored').check()
  await page.getByRole('button', { name: 'Save the app' }).click()
  await page.getByText('One is stored, and is never shown').waitFor({ state: 'detached' })
  assert.equal((await carom.ask('GET', '/v1/apps/game-two')).has_bot_token, false)

  await page.getByRole('button', { name: 'Remove the app' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove the app' }).click()
  await page.waitForURL(/\/settings\/apps$/)
  await page.getByRole('link', { name: 'game', exact: true }).waitFor()
  assert.equal(await page.getByRole('link', { name: 'game-two' }).count(), 0)
  await done()
})

test('alerts are tried out, and what is answered is text', options, async () => {
  receiver.answer = { status: 500, type: 'text/html', body: hostile }
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/alerts')
  await page.getByRole('button', { name: 'Send a test' }).click()
  await page.getByText('slack: not sent').waitFor()
  receiver.answer = { status: 200, type: 'text/plain', body: 'ok' }
  await page.getByRole('button', { name: 'Send a test' }).click()
  await page.getByText(/slack: sent in/).waitFor()
  assert.ok(!(await page.content()).includes('secret-of-the-chat'))
  await done()
})

test('what the server was started with can be read, without secrets', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/process')
  await page.getByText('45d', { exact: true }).first().waitFor()
  await page.getByText('Only what was set').click()
  const table = page.getByRole('table', { name: 'Settings of the process' })
  await table.getByRole('row', { name: /^retention 45d a flag/ }).waitFor()
  await table.getByRole('row', { name: /^alert_slack_url \*\*\* the environment/ }).waitFor()
  assert.equal(await table.getByRole('row', { name: /^max_queue/ }).count(), 0)
  assert.ok(!(await page.content()).includes('secret-of-the-chat'))
  await page.getByLabel('Find').fill('no such setting')
  await page.getByText('No setting fits').waitFor()
  await done()
})

test('who may only read is offered nothing else', options, async () => {
  const viewer = await carom.member('viewer')
  const { page, done } = await openAs(browser, carom, viewer, '/settings/members')
  await page.getByRole('table', { name: 'Members' }).waitFor()
  assert.equal(await page.getByRole('button', { name: /Invite|What can be done/ }).count(), 0)
  await page.getByRole('tab', { name: 'API keys' }).click()
  await page.getByText('There is no key').waitFor()
  assert.equal(await page.getByRole('button', { name: 'Make a key' }).count(), 0)
  await page.goto(`${carom.url}/settings/apps/game`)
  await page.getByLabel('Title').waitFor()
  assert.equal(await page.getByRole('button', { name: /^(Save|Remove) the app/ }).count(), 0)
  await done()
})

for (const [path, ready] of Object.entries({
  account: (page) => page.getByLabel('Password of now').waitFor(),
  keys: (page) => page.getByRole('table', { name: 'API keys' }).waitFor(),
  apps: (page) => page.getByRole('table', { name: 'Apps' }).waitFor(),
  'apps/game': (page) => page.getByLabel('Title').waitFor(),
  alerts: (page) => page.getByRole('table', { name: 'Channels of alerts' }).waitFor(),
  nodes: (page) => page.getByRole('table', { name: 'Nodes' }).waitFor(),
  audit: (page) => page.locator('[data-audit]').first().waitFor(),
  process: (page) => page.getByRole('table', { name: 'Settings of the process' }).waitFor(),
})) {
  test(`how it looks: ${path}`, options, async () => {
    if (path === 'keys') await carom.ask('POST', '/v1/keys', { name: 'game-backend', scope: 'events', app: 'game' })
    await pictures(browser, carom, carom.operator, `/settings/${path}`, `settings-${path.replace('/', '-')}`, ready)
  })
}

test('alerts that are open and that have ended can be read, and so can an error', options, async () => {
  const at = '2026-11-22T12:00:00Z'
  const alert = { kind: 'endpoint_dead', what: 'deliveries fail', how_much: '3 in ten minutes', next: 'look at it', fault: 'endpoint', runbook: 'docs/runbook.md', opened: at, notified: at }
  const severities = ['attention', 'losing_money'].map((severity) => ({ ...alert, severity, subject: `endpoint game/${severity}` }))
  const prepare = (page) =>
    page.route('**/v1/alerts', async (route) => {
      const answer = await route.fetch()
      const list = await answer.json()
      await route.fulfill({ response: answer, json: { ...list, open: severities, ended: severities.map((a) => ({ ...a, ended: at })) } })
    })
  await pictures(browser, carom, carom.operator, '/settings/alerts', 'settings-alerts-open', (page) => page.getByText('ended').last().waitFor(), { prepare })
  const problem = { type: 'about:blank', title: 'Internal Server Error', status: 500, detail: 'the disk is full', instance: 'r-1' }
  const refuse = (page) => page.route('**/v1/alerts', (route) => route.fulfill({ status: 500, contentType: 'application/problem+json', body: JSON.stringify(problem) }))
  await pictures(browser, carom, carom.operator, '/settings/alerts', 'settings-alerts-error', (page) => page.getByText("In the server's log: r-1").waitFor(), { prepare: refuse })
})
