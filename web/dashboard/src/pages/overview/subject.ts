/** pageOf finds the page on which what a finding is about can be looked at: "source shop/monetag", "endpoint shop/backend". */
export function pageOf(subject: string): string | null {
  const [kind, id] = subject.split(' ')
  if (!id) return null
  if (kind === 'source') return `/sources/${id}`
  if (kind === 'endpoint') return `/endpoints/${id}`
  return null
}
