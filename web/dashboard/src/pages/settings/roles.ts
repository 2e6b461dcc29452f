/** What a member may do, by the role's name in /v1. */
export const roles = [
  { value: 'operator', label: 'Operator', about: 'everything' },
  { value: 'support', label: 'Support', about: 'reads everything without secrets, and resends' },
  { value: 'viewer', label: 'Viewer', about: 'reads everything without secrets, and changes nothing' },
  { value: 'publisher', label: 'Publisher', about: 'sets up what is one publisher’s, and sees nothing else' },
] as const

export type RoleName = (typeof roles)[number]['value']

/** roleLabel writes a role for people. */
export const roleLabel = (role: string): string => roles.find((r) => r.value === role)?.label ?? role
