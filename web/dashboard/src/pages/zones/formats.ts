/** The formats of ads, by their names in /v1, as people know them, with how the SDK is called for each. */
export const formats = [
  { value: 'rewarded_interstitial', label: 'Rewarded interstitial', options: "ymid: viewId, requestVar: 'bonus-btn', catchIfNoFeed: true" },
  { value: 'rewarded_popup', label: 'Rewarded popup', options: "type: 'pop', ymid: viewId, requestVar: 'bonus-btn', catchIfNoFeed: true" },
  { value: 'in_app_interstitial', label: 'In-app interstitial', options: "type: 'inApp'" },
] as const

/** formatLabel writes a format for people. */
export const formatLabel = (format: string): string => formats.find((f) => f.value === format)?.label ?? format

/** callOf is what a page calls to show an ad of a zone in a format. */
export function callOf(zone: string, format: (typeof formats)[number]): string {
  const show = `show_${zone.replaceAll('-', '_')}`
  if (format.value === 'in_app_interstitial') return `await ${show}({ ${format.options} })`
  return `// viewId: your own id of this showing. It comes back as ymid in the postback that pays for it.\nawait ${show}({ ${format.options} })`
}
