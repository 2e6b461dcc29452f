/** The states of a reward, as filters name them. */
export const rewardStates = [
  { value: 'granted', label: 'Granted' },
  { value: 'held', label: 'Held' },
  { value: 'canceled', label: 'Canceled' },
  { value: 'reversed', label: 'Taken back' },
]

/** currenciesOf lists the currencies of an app, by name. */
export function currenciesOf(app?: { currencies?: Record<string, number> }): string[] {
  return Object.keys(app?.currencies ?? {}).sort()
}

/** ruleWords names a rule for people: a reward without one was granted by hand. */
export const ruleWords = (rule: string): string => (rule === '-' ? 'by hand' : rule)
