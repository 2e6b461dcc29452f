// Reports in a real browser: what was counted, and the reconciliation of a day with a network's file.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard } from './rig.mjs'

const secret = 'a-path-secret-of-a-test-0123456789'
const objects = `apps:
  game:
    title: Game
    currencies: { coins: 0 }
    rules: { watch: { filter: { event_types: [impression] }, price: 5 coins } }
    sources:
      ads: { profile: monetag, ymid: view, secret: ${secret} }
`
const hostile = `<img src=x onerror="alert('var')">`
const today = new Date().toISOString().slice(0, 10)

let browser, carom

// Ten views that the network pays for, of which two came twice; one that it does not pay for; one whose macro was not filled in.
before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  carom = await startDashboard(objects)
  const send = async (query) => {
    const answer = await fetch(`${carom.url}/in/game/ads/${secret}?${new URLSearchParams({ event_type: 'impression', zone_id: '8790478', estimated_price: '0.001', request_var: hostile, ...query })}`)
    assert.ok(answer.status < 500, await answer.text())
  }
  for (let i = 0; i < 10; i++) await send({ ymid: `view-${i}`, reward_event_type: 'valued', telegram_id: `${1000 + i}` })
  for (let i = 0; i < 2; i++) await send({ ymid: `view-${i}`, reward_event_type: 'valued', telegram_id: `${1000 + i}` })
  await send({ ymid: 'unpaid', reward_event_type: 'not_valued', telegram_id: '2000' })
  await send({ ymid: '{ymid}', reward_event_type: 'valued', telegram_id: '2001' })
})

after(async () => {
  await browser?.close()
  await carom?.close()
})

const inUTC = { timezoneId: 'UTC' }

test('the breakdown counts by day and by request_var, and shows what a browser sent as text', options, async () => {
  await pictures(browser, carom, carom.operator, '/reports/table', 'reports-day', async (page) => {
    await page.getByRole('rowheader', { name: 'All' }).waitFor()
  })
  const { page, done } = await openAs(browser, carom, carom.operator, '/reports/table?by=request_var', inUTC)
  const row = page.getByRole('row', { name: hostile })
  await row.waitFor()
  assert.match(await row.innerText(), /10/)
  await done()
})

test('the funnel, the times and the reasons', options, async () => {
  await pictures(browser, carom, carom.operator, '/reports/funnel', 'reports-funnel', (page) => page.getByRole('rowheader', { name: /^Verified/ }).waitFor())
  await pictures(browser, carom, carom.operator, '/reports/times', 'reports-times', (page) => page.getByText('No view was confirmed in these days').waitFor())
  await pictures(browser, carom, carom.operator, '/reports/reasons', 'reports-reasons', (page) => page.getByRole('rowheader', { name: /literal_macro/ }).waitFor())
  const { page, done } = await openAs(browser, carom, carom.operator, '/reports/reasons')
  await page.getByRole('row', { name: /literal_macro/ }).getByRole('link').click()
  await page.getByRole('tab', { name: 'Refused', selected: true }).waitFor()
  await page.getByRole('cell', { name: /literal macro/ }).first().waitFor()
  assert.equal(new URL(page.url()).searchParams.get('reason'), 'literal_macro')
  await done()
})

/** drop lets go of a file over the page's place for files, as a person does with the mouse. */
async function drop(page, name, text) {
  const transfer = await page.evaluateHandle(({ name, text }) => {
    const transfer = new DataTransfer()
    transfer.items.add(new File([text], name, { type: 'text/csv' }))
    return transfer
  }, { name, text })
  await page.dispatchEvent('[data-drop]', 'drop', { dataTransfer: transfer })
}

test('reconcile a day: the file says 14, we have 10, and nothing is unexplained', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/reports/reconcile', inUTC)
  await page.getByRole('combobox', { name: 'Source' }).click()
  await page.getByRole('option', { name: 'game/ads' }).click()
  await drop(page, 'march.csv', `date,zone_id,impressions,revenue\n${today},8790478,14,0.014\n`)
  await page.getByRole('textbox', { name: /Time zone/ }).fill('UTC')
  await page.getByRole('button', { name: 'Read it' }).click()
  await page.getByText(`1 rows, ${today}`).waitFor()
  await page.getByRole('button', { name: 'Keep it and compare' }).click()
  const all = page.getByRole('row', { name: /^All/ })
  await all.waitFor()
  const text = await all.innerText()
  for (const want of [/14/, /10/, /were copies/, /does not pay for/, /of no use/]) assert.match(text, want)
  assert.match(text, /\t0/, `unexplained in: ${text}`)
  await done()
  await pictures(browser, carom, carom.operator, '/reports/reconcile?source=game%2Fads', 'reports-reconcile', (p) => p.getByRole('row', { name: /^All/ }).waitFor())
})

test('a file with wrong columns, and one that is too large, are refused in words', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/reports/reconcile?source=game%2Fads', inUTC)
  await page.locator('[data-drop]').waitFor()
  await drop(page, 'wrong.csv', 'colour,taste\n' + 'red,sweet\n'.repeat(500_000)) // 5 MB
  await page.getByRole('button', { name: 'Read it' }).click()
  await page.getByRole('alert').getByText(/day/).first().waitFor()
  await page.getByRole('button', { name: 'Take another file' }).click()
  await drop(page, 'large.csv', 'x'.repeat(9 << 20))
  await page.getByText(/large.csv has 9.0 MiB, and at most 8 are read/).waitFor()
  await done()
})
