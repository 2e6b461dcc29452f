import { Text } from '@mantine/core'
import { useSession } from '../../api/session'
import { Page } from '../../parts/page'
import { Sections } from '../../parts/sections'
import { Creatives } from './creatives'
import { Dialects } from './dialects'
import { OwnSetup, Publishers } from './publishers'
import { OneZone } from './zone'
import { ZonesSection } from './zones'

/** Zones is the network end: where ads are shown, which ads those are, and who sets up what is theirs. A publisher's member finds their own set-up here. */
export default function Zones() {
  const { session } = useSession()
  const publisher = session.member?.role === 'publisher' ? session.member.publisher : undefined
  if (publisher) {
    return (
      <Page title="Zones and postbacks" about="Where your app shows ads, and where you are told of them.">
        <OwnSetup publisher={publisher} />
      </Page>
    )
  }
  return (
    <Page title="Zones" about={<Text span size="sm">The network end: here carom shows ads in the pages of your publishers, confirms them, and sends a postback for each.</Text>}>
      <Sections
        base="/zones"
        label="Zones"
        sections={[
          { path: '', title: 'Zones', needs: 'list-zones', element: <ZonesSection /> },
          { path: 'at', needs: 'list-zones', element: <OneZone /> },
          { path: 'creatives', title: 'Creatives', needs: 'list-creatives', element: <Creatives /> },
          { path: 'dialects', title: 'Dialects', needs: 'list-dialects', element: <Dialects /> },
          { path: 'publishers', title: 'Publishers', needs: 'list-publishers', element: <Publishers /> },
        ]}
      />
    </Page>
  )
}
