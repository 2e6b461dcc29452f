// What an app written in TypeScript does with the types: that it compiles is the test.

import { createCarom, type Outcome, type View } from '../carom-views.mjs'

const carom = createCarom({ server: 'https://postbacks.example', app: 'game', initData: () => '' })
createCarom({ server: 'https://postbacks.example', openView: (placement, signal) => fetch('/open/' + placement, { signal }) })
createCarom({ server: 'https://postbacks.example', openView: async () => ({}) as View, storage: localStorage })

// @ts-expect-error: without init data nobody opens the view.
createCarom({ server: 'https://postbacks.example', app: 'game' })
// @ts-expect-error: a view or a placement, not neither.
void carom.reward({ show: () => undefined })

export function result(outcome: Outcome): string {
  switch (outcome.state) {
    case 'confirmed':
      return outcome.reward.amount + outcome.reward.currency
    case 'declined':
      return outcome.reason
    case 'failed':
      return outcome.error + outcome.cause.message + (outcome.view?.ymid ?? '')
    case 'no_ad':
      return String(outcome.cause)
    case 'expired':
    case 'unpaid':
    case 'late':
      return outcome.view.view_id
  }
}
