// Rewards: the list, the price list, a user's account, and what is done by hand: granting, taking back, erasing.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard } from './rig.mjs'

const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`

const objects = `apps:
  game:
    title: Game
    currencies: { coins: 0, USD: 2 }
    sources: { server: { profile: api } }
    rules:
      watch: { filter: { event_types: [impression] }, price: 5 coins, caps: [ { per: [user, day], rewards: 40 } ] }
      later: { filter: { event_types: [completion] }, price: 2 coins, hold: 3d }
  other:
    currencies: { gems: 0 }
    sources: { server: { profile: api } }
    rules: { watch: { price: 1 gems } }
`

let browser, carom

const view = (id, more = {}) => ({ id, app: 'game', event_type: 'impression', reward_event_type: 'valued', ymid: id, user_id: 'ada', zone_id: '1001', request_var: 'bonus-btn', ...more })

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  carom = await startDashboard(objects)
  await carom.ask('POST', '/v1/events', [
    ...Array.from({ length: 60 }, (_, i) => view(`many-${i}`, { user_id: `user-${i % 6}` })),
    view('one'), view('two'), view('three'),
    view('waits', { event_type: 'completion' }),
    view('strange', { user_id: hostile, ymid: hostile, request_var: hostile }),
    view('elsewhere', { app: 'other', user_id: 'ada' }),
  ])
})

after(async () => {
  await browser?.close()
  await carom?.close()
})

const main = (page) => page.getByRole('main')
const balance = (page, currency) => page.locator(`[data-balance=${currency}]`)

test('the list pages to the oldest, and filters by what stands in the address', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards')
  const rows = page.getByRole('table', { name: 'Rewards' }).locator('tbody tr')
  await rows.nth(49).waitFor()
  await page.getByRole('button', { name: 'Older' }).click()
  await rows.nth(65).waitFor()
  assert.equal(await rows.count(), 66)
  await page.getByRole('button', { name: 'Older' }).waitFor({ state: 'detached' })

  await main(page).getByLabel('User', { exact: true }).fill('ada')
  await page.waitForURL(/user=ada/)
  await page.waitForFunction(() => document.querySelectorAll('table tbody tr').length === 5)
  await main(page).getByLabel('State').click()
  await page.getByRole('option', { name: 'Held' }).click()
  await page.waitForURL(/state=held/)
  await page.waitForFunction(() => document.querySelectorAll('table tbody tr').length === 1)
  await page.getByText('until').waitFor()
  await page.reload()
  await page.getByText('until').waitFor()
  assert.equal(await rows.count(), 1)

  await page.goto(`${carom.url}/rewards?user=nobody`)
  await page.getByText('No reward fits the filter').waitFor()
  await page.getByRole('button', { name: 'Clear' }).click()
  await rows.nth(49).waitFor()
  await done()
})

test('what strangers wrote is text', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, `/rewards?user=${encodeURIComponent(hostile)}`)
  await page.getByRole('link', { name: hostile }).click()
  await page.getByRole('heading', { name: hostile }).waitFor()
  await page.getByRole('table', { name: 'Ledger' }).getByText(hostile).waitFor()
  await done()
})

test('a grant by hand is shown before it is made, stands in the ledger with its reason, and can be taken back', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards/users?app=game&user=ada')
  await balance(page, 'coins').getByText('15', { exact: true }).waitFor()
  const lines = page.getByRole('table', { name: 'Ledger' }).locator('tbody tr')
  await lines.first().getByText('earned by the rule watch').waitFor() // the balance and the ledger are two answers
  assert.equal(await lines.count(), 3)
  await lines.first().getByText('zone 1001, bonus-btn').waitFor()

  await page.getByRole('button', { name: 'Grant to this user' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Show what it will do' }).click()
  await dialog.getByText('Write a number above zero').waitFor()
  await dialog.getByText('Choose a currency').waitFor()
  await dialog.getByRole('textbox', { name: 'Amount', exact: true }).fill('7.5')
  await dialog.getByRole('combobox', { name: 'Currency' }).click()
  await page.getByRole('option', { name: 'coins' }).click()
  await dialog.getByLabel('Why').fill(`lost by a fault of ours ${hostile}`)
  await dialog.getByRole('button', { name: 'Show what it will do' }).click()
  await dialog.getByText('coins has 0 decimals at most').first().waitFor() // as the server says, beside the field
  assert.equal(await dialog.getByLabel('User').inputValue(), 'ada')
  await dialog.getByRole('textbox', { name: 'Amount', exact: true }).fill('7')
  await dialog.getByRole('button', { name: 'Show what it will do' }).click()
  await dialog.getByText('This is what it will do').waitFor()
  assert.equal((await carom.ask('GET', '/v1/balances?app=game&user=ada')).balances[0].amount, '15')
  await dialog.getByRole('button', { name: 'Grant 7 coins' }).click()
  await balance(page, 'coins').getByText('22', { exact: true }).waitFor()
  await lines.first().getByText('lost by a fault of ours').waitFor()

  await lines.first().getByRole('button', { name: /^Take back/ }).click()
  await dialog.getByRole('button', { name: 'Show what it will do' }).click()
  await dialog.getByText('Say why').waitFor()
  await dialog.getByLabel('Why').fill('granted to the wrong user')
  await dialog.getByRole('button', { name: 'Show what it will do' }).click()
  await dialog.getByText('Take back 1 reward').waitFor()
  await dialog.getByRole('button', { name: 'Take back 1', exact: true }).click()
  await balance(page, 'coins').getByText('15', { exact: true }).waitFor()
  await lines.first().getByText('granted to the wrong user').waitFor()
  assert.equal(await lines.count(), 5)
  await done()
})

test('many are taken back by the filter, after a preview of the sums', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards?app=game&user=user-1')
  await page.getByRole('button', { name: 'Take back all that the filter selects' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Why').fill('a test of ours')
  await dialog.getByRole('button', { name: 'Show what it will do' }).click()
  await dialog.getByText('Take back 10 rewards').waitFor()
  await dialog.getByText('50 coins').waitFor()
  await dialog.getByRole('button', { name: 'Take back 10', exact: true }).click()
  await dialog.waitFor({ state: 'detached' })
  await page.waitForFunction(() => document.querySelectorAll('[data-outcome=reversed]').length === 10)
  // What was taken back cannot be chosen again.
  assert.equal(await page.getByRole('checkbox', { name: /^Choose rwd_/ }).first().isDisabled(), true)
  await done()
})

test('the ledger is checked on demand', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards')
  await page.getByRole('button', { name: 'Check the ledger' }).click()
  await page.getByText('The ledger agrees with itself').waitFor()
  await done()
})

test('all that is kept about a user is exported, and erased with a reason', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards/users?app=game&user=user-2')
  await balance(page, 'coins').getByText('50').waitFor()
  await page.getByRole('button', { name: 'Personal data' }).click()
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: 'Export all that is kept' }).click()])
  const person = JSON.parse(await readFile(await download.path(), 'utf8'))
  assert.equal(person.user, 'user-2')
  assert.equal(person.rewards.length, 10)

  await page.getByRole('button', { name: 'Personal data' }).click()
  await page.getByRole('menuitem', { name: 'Erase the user' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('10 rewards get another name').waitFor()
  await dialog.getByRole('button', { name: 'Erase the user for ever' }).click()
  await dialog.getByText('Say why').waitFor()
  await dialog.getByLabel('Why').fill('asked for by the person')
  await dialog.getByRole('button', { name: 'Erase the user for ever' }).click()
  await page.getByText('Nothing was credited to this user').waitFor()
  await done()
})

test('a rule is written, refused with the fault beside its field, changed, and removed', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards/rules')
  await page.getByRole('link', { name: 'Write a rule' }).click()
  await page.getByRole('button', { name: 'Make the rule' }).click()
  await page.getByText('Choose the app whose events it counts').waitFor()
  await page.getByText('Write an amount, such as 5').waitFor()
  await page.getByRole('combobox', { name: 'App', exact: true }).click()
  await page.getByRole('option', { name: 'Game' }).click()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('cashback')
  await page.getByText('From a field').click()
  await page.getByRole('combobox', { name: 'From the field' }).click()
  await page.getByRole('option', { name: /^estimated_price/ }).click()
  await page.getByRole('combobox', { name: 'Currency' }).click()
  await page.getByRole('option', { name: 'USD' }).click()
  await page.getByLabel("The user's part").fill('40%')
  await page.getByRole('button', { name: 'Make the rule' }).click()
  await page.getByText('taken unbounded: write the most').waitFor()
  await page.getByLabel('At most', { exact: false }).first().fill('0.05')
  await page.getByRole('switch', { name: /^It pays beside other rules/ }).check()
  await page.getByRole('button', { name: 'Add a cap' }).click()
  await page.getByLabel('Rewards at most').fill('20')
  await page.getByLabel('Credited after').fill('soon')
  await page.getByLabel('Take the amount although no signature covers it').check()
  await page.getByRole('button', { name: 'Make the rule' }).click()
  await page.locator('.mantine-TextInput-error', { hasText: 'soon' }).waitFor()
  assert.equal(await page.getByRole('textbox', { name: 'Name', exact: true }).inputValue(), 'cashback') // nothing that was typed is lost
  await page.getByLabel('Credited after').fill('2d')
  await page.getByRole('button', { name: 'Make the rule' }).click()
  await page.waitForURL(/\/rewards\/rules\/game\/cashback$/)
  await page.getByRole('heading', { name: 'cashback' }).waitFor()
  const stored = await carom.ask('GET', '/v1/rules/game/cashback')
  assert.deepEqual(stored.price, { currency: 'USD', from: 'estimated_price', max: '0.05', share: '0.4', trust: 'secret' })
  assert.deepEqual(stored.caps, [{ per: ['user', 'day'], rewards: 20 }])
  assert.equal(stored.hold, '2d')

  await page.getByRole('link', { name: 'All rules' }).click()
  await page.getByRole('row', { name: /cashback/ }).getByText('40% of estimated_price in USD, at most 0.05').waitFor()
  await page.getByRole('link', { name: 'cashback', exact: true }).click()
  await page.getByRole('button', { name: 'Remove the rule' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove the rule' }).click()
  await page.waitForURL(/\/rewards\/rules$/)
  await page.getByRole('link', { name: 'cashback' }).waitFor({ state: 'detached' })
  await done()
})

test('a rule that somebody else has changed meanwhile is not overwritten unseen', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards/rules/other/watch')
  await page.getByRole('textbox', { name: 'Amount', exact: true }).fill('2')
  const theirs = await carom.ask('GET', '/v1/rules/other/watch')
  await carom.ask('PUT', '/v1/rules/other/watch', { ...theirs, price: { fixed: '3', currency: 'gems' } })
  await page.getByRole('button', { name: 'Save the rule' }).click()
  const table = page.getByRole('table', { name: 'Where the two versions differ' })
  await table.getByRole('row', { name: 'price.fixed 3 2' }).waitFor()
  assert.equal((await carom.ask('GET', '/v1/rules/other/watch')).price.fixed, '3')
  await page.getByRole('button', { name: 'Save mine over theirs' }).click()
  await page.getByText('Saved. It is in force.').waitFor()
  assert.equal((await carom.ask('GET', '/v1/rules/other/watch')).price.fixed, '2')
  await done()
})

test('who may only read is offered nothing else', options, async () => {
  const viewer = await carom.member('viewer')
  const { page, done } = await openAs(browser, carom, viewer, '/rewards?app=game')
  await page.getByRole('table', { name: 'Rewards' }).waitFor()
  for (const name of ['Grant by hand', /^Take back/]) assert.equal(await page.getByRole('button', { name }).count(), 0)
  await page.goto(`${carom.url}/rewards/rules/game/watch`)
  await page.getByRole('heading', { name: 'watch' }).waitFor()
  assert.equal(await page.getByRole('button', { name: /^(Save|Remove|Add)/ }).count(), 0)
  await page.goto(`${carom.url}/rewards/users?app=game&user=ada`)
  await balance(page, 'coins').waitFor()
  assert.equal(await page.getByRole('menuitem', { name: 'Erase the user' }).count(), 0)
  await done()
})

test('an account is read to its oldest line', options, async () => {
  await carom.ask('POST', '/v1/events', Array.from({ length: 120 }, (_, i) => view(`long-${i}`, { app: 'other', user_id: 'long' })))
  const { page, done } = await openAs(browser, carom, carom.operator, '/rewards/users?app=other&user=long')
  const lines = page.getByRole('table', { name: 'Ledger' }).locator('tbody tr')
  for (const shown of [50, 100, 120]) {
    await lines.nth(shown - 1).getByText('earned by the rule watch').waitFor()
    assert.equal(await lines.count(), shown)
    if (shown < 120) await page.getByRole('button', { name: 'Older' }).click()
  }
  await page.getByRole('button', { name: 'Older' }).waitFor({ state: 'detached' })
  await done()
})

for (const [name, path, ready] of [
  ['rewards-user', '/rewards/users?app=game&user=ada', (page) => page.getByRole('table', { name: 'Ledger' }).waitFor()],
  ['rewards-rule', '/rewards/rules/game/watch', (page) => page.getByRole('textbox', { name: 'Amount', exact: true }).waitFor()],
]) {
  test(`how it looks: ${path}`, options, () => pictures(browser, carom, carom.operator, path, name, ready))
}
