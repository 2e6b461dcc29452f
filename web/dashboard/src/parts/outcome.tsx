import { Badge, type MantineColor } from '@mantine/core'
import {
  IconAlertTriangle, IconCheck, IconCircleDashed, IconClock, IconCopy, IconHandStop, IconQuestionMark, IconRefresh, IconX, type Icon,
} from '@tabler/icons-react'

/** A look is a colour and a shape, so that nobody has to tell colours apart. */
interface Look {
  color: MantineColor
  icon: Icon
  words: string
}

const looks: Record<string, Look> = {
  accepted: { color: 'green', icon: IconCheck, words: 'accepted' },
  delivered: { color: 'green', icon: IconCheck, words: 'delivered' },
  confirmed: { color: 'green', icon: IconCheck, words: 'confirmed' },
  granted: { color: 'green', icon: IconCheck, words: 'granted' },
  verified: { color: 'green', icon: IconCheck, words: 'verified' },
  ok: { color: 'green', icon: IconCheck, words: 'all is well' },
  unmatched: { color: 'gray', icon: IconCircleDashed, words: 'to no endpoint' },
  duplicate: { color: 'gray', icon: IconCopy, words: 'duplicate' },
  canceled: { color: 'gray', icon: IconX, words: 'canceled' },
  open: { color: 'blue', icon: IconClock, words: 'open' },
  pending: { color: 'blue', icon: IconClock, words: 'pending' },
  waiting: { color: 'blue', icon: IconClock, words: 'waiting' },
  retry: { color: 'yellow', icon: IconRefresh, words: 'to be repeated' },
  held: { color: 'yellow', icon: IconHandStop, words: 'held' },
  declined: { color: 'orange', icon: IconHandStop, words: 'declined' },
  warning: { color: 'yellow', icon: IconAlertTriangle, words: 'needs a look' },
  refused: { color: 'red', icon: IconX, words: 'refused' },
  unverified: { color: 'red', icon: IconAlertTriangle, words: 'unverified' },
  conflict: { color: 'red', icon: IconAlertTriangle, words: 'conflicting copy' },
  reversed: { color: 'red', icon: IconRefresh, words: 'taken back' },
  dead: { color: 'red', icon: IconX, words: 'dead' },
  expired: { color: 'red', icon: IconClock, words: 'expired' },
  fault: { color: 'red', icon: IconX, words: 'fault' },
}

/** lookOf says how an outcome or a state looks everywhere. What stands behind a colon, such as a reason, does not count. */
export function lookOf(outcome: string): Look {
  const [word = ''] = outcome.split(':')
  return looks[word] ?? { color: 'gray', icon: IconQuestionMark, words: outcome }
}

/** Outcome shows an outcome or a state by colour, shape and word. */
export function Outcome({ of, words, size = 'sm' }: { of: string; words?: string; size?: 'xs' | 'sm' | 'md' | 'lg' }) {
  const look = lookOf(of)
  return (
    <Badge color={look.color} variant="light" size={size} miw="max-content" leftSection={<look.icon size={12} aria-hidden />} tt="none" data-outcome={of}>
      {words ?? look.words}
    </Badge>
  )
}
