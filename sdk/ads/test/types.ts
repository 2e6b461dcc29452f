// What an app written in TypeScript does with the types: that it compiles is the test.

import createAdHandler, { type AdError, type AdResult, CaromAdError, createAdHandler as named } from '../sdk.mjs'
import type { ShowAd } from '../sdk.js'

const show: ShowAd = createAdHandler('123456', { server: 'https://ads.example' })
void named(123456)
void show()
void show('pop')
void show({ type: 'inApp', inAppSettings: { frequency: 2, capping: 0.1, interval: 30, timeout: 5, everyPage: false } })
// The script tag's function.
void window.show_123456({ type: 'end', ymid: 7n, requestVar: 'bonus-btn', catchIfNoFeed: true })

// @ts-expect-error: seconds are a number.
void show({ type: 'preload', timeout: '5' })
// @ts-expect-error: an option that there is not.
void show({ yimd: 'view-1' })

export async function paid(): Promise<string> {
  try {
    const result: AdResult = await show({ ymid: 'view-1' })
    return result.reward_event_type === 'valued' ? (result.estimated_price ?? '') : (result.sub_zone_id ?? 'no ad')
  } catch (error) {
    if (error instanceof CaromAdError) return error.code
    switch ((error as AdError).code) {
      case 'no_feed':
      case 'zone':
      case 'origin':
      case 'ymid_required':
      case 'invalid':
      case 'too_many':
      case 'network':
      case 'timeout':
      case 'popup_blocked':
      case 'busy':
        return (error as AdError).message
    }
  }
}
